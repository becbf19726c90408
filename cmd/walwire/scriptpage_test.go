package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// pageCommands are the scripts' commands about pages of docs/:
//
//	page NAME        the page's blocks as files, in its order: 1.sh, 2.sql, 3.yaml, ...
//	                 What a console block shows of output is in 1.out beside 1.sh
//	shows OUT FILE   the file has the lines that a page shows of it, in that order; "..." is
//	                 any text, and on a line of its own any lines
func pageCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"page": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 1, "page NAME")
			page, err := os.ReadFile(filepath.Join(scriptRoot, "docs", args[0]))
			ts.Check(err)
			for i, block := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
				name, language, text := fmt.Sprint(i+1), block[1], block[2]
				if language == "console" {
					var commands string
					commands, text = transcript(text)
					writeFile(ts, name+".sh", commands)
					language = "out"
				}
				writeFile(ts, name+"."+language, text)
			}
		},
		"shows": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 2, "shows OUT FILE")
			var pattern strings.Builder
			pattern.WriteString("(?m)")
			between := ""
			for line := range strings.Lines(ts.ReadFile(args[0])) {
				if line = strings.TrimSuffix(line, "\n"); line == "..." {
					between = `(?s:.*?)`
					continue
				}
				pattern.WriteString(between + "^" + strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, ".*") + "$")
				between = `\n`
			}
			if text := ts.ReadFile(args[1]); !regexp.MustCompile(pattern.String()).MatchString(text) {
				ts.Fatalf("the page shows\n%s\nand it is\n%s", ts.ReadFile(args[0]), text)
			}
		},
	}
}

// scriptRoot is the repository, from this package's directory.
const scriptRoot = "../.."

// transcript takes what is typed in a terminal apart from what is printed there. A command
// goes on in lines that begin with "> ".
func transcript(text string) (commands, output string) {
	for line := range strings.Lines(text) {
		typed, is := strings.CutPrefix(line, "$ ")
		if !is {
			typed, is = strings.CutPrefix(line, "> ")
		}
		if is {
			commands += typed
		} else {
			output += line
		}
	}
	return commands, output
}

func writeFile(ts *testscript.TestScript, name, text string) {
	ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
}
