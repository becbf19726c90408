package main

import (
	"os/exec"
	"testing"
)

func TestShellQuote(t *testing.T) {
	for _, word := range []string{
		"plain", "/usr/bin/psql", "a b", "it's", `"$HOME" \n`, "`id`", "", "postgres://u:p@127.0.0.1:5432/d?sslmode=disable", "a;b&c", "*", "~",
	} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("shellQuote(%q): the shell reads %q, %v", word, out, err)
		}
	}
}
