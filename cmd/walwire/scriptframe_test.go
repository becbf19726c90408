package main

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// frameCommands are the scripts' commands about JSON:
//
//	frame FILE LINE PATH == JSON     what is there, exactly
//	frame FILE LINE PATH len N       that many elements are there
//	frame FILE LINE PATH absent      nothing is there
//	fields FILE VAR=PATH ...         VAR gets the text there, of a file with one document
//	same PATH FILE LINE FILE LINE    both have the same there
//
// LINE starts at 1, or is "last". A path is names and numbers with dots between.
func frameCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"frame": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) >= 4, "frame FILE LINE PATH OPERATOR [VALUE]")
			frameCommand(ts, args)
		},
		"same": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 5, "same PATH FILE LINE FILE LINE")
			a, b := dig(line(ts, args[1], args[2]), args[0]), dig(line(ts, args[3], args[4]), args[0])
			if a == nil || !reflect.DeepEqual(a, b) {
				ts.Fatalf("%s is %v here and %v there", args[0], a, b)
			}
		},
		"fields": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) > 1, "fields FILE VAR=PATH ...")
			document := parseJSON(ts, ts.ReadFile(args[0]))
			for _, arg := range args[1:] {
				name, path, _ := strings.Cut(arg, "=")
				text, ok := dig(document, path).(string)
				if !ok {
					ts.Fatalf("%s has no text at %s", args[0], path)
				}
				ts.Setenv(name, text)
			}
		},
	}
}

func frameCommand(ts *testscript.TestScript, args []string) {
	path, operator, operand := args[2], args[3], strings.Join(args[4:], " ")
	got := dig(line(ts, args[0], args[1]), path)
	ok := false
	switch operator {
	case "==":
		ok = reflect.DeepEqual(got, parseJSON(ts, operand))
	case "absent":
		ok = got == nil
	case "len":
		switch v := got.(type) {
		case []any:
			ok = len(v) == atoi(ts, operand)
		case map[string]any:
			ok = len(v) == atoi(ts, operand)
		}
	default:
		ts.Fatalf("no operator %q", operator)
	}
	if !ok {
		text, _ := json.Marshal(got)
		ts.Fatalf("%s, line %s, %s is %.2000s", args[0], args[1], path, text)
	}
}

// line reads one line of a file of JSON.
func line(ts *testscript.TestScript, file, number string) any {
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(file), "\n"), "\n")
	n := len(lines)
	if number != "last" {
		n = atoi(ts, number)
	}
	if n < 1 || n > len(lines) {
		ts.Fatalf("%s has %d lines, not %d", file, len(lines), n)
	}
	return parseJSON(ts, lines[n-1])
}

// dig finds what a path leads to, nil for nothing.
func dig(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

func parseJSON(ts *testscript.TestScript, text string) any {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		ts.Fatalf("this is not JSON: %.2000s: %v", text, err)
	}
	return v
}

func atoi(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}
