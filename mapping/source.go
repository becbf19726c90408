package mapping

import (
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// source is the text of the file by lines, to find where in it a character of a
// scalar stands: YAML takes quotes, escapes and indentation away, and an error
// inside a rule must still point at the right place.
type source struct{ lines [][]rune }

func newSource(data []byte) source {
	var s source
	for line := range strings.SplitSeq(string(data), "\n") {
		s.lines = append(s.lines, []rune(line+"\n"))
	}
	return s
}

func (s source) at(p Position) rune {
	if p.Line < 1 || p.Line > len(s.lines) || p.Column < 1 || p.Column > len(s.lines[p.Line-1]) {
		return 0
	}
	return s.lines[p.Line-1][p.Column-1]
}

func (s source) next(p Position) Position {
	p.Column++
	if p.Line <= len(s.lines) && p.Column > len(s.lines[p.Line-1]) {
		return Position{Line: p.Line + 1, Column: 1}
	}
	return p
}

func (s source) skipSpace(p Position) Position {
	for r := s.at(p); r != 0 && unicode.IsSpace(r); r = s.at(p) {
		p = s.next(p)
	}
	return p
}

// align gives the place of each character of the scalar's text, and one more
// for its end. Whatever style the scalar has, its characters that are not white
// space stand in the file in the same order, so only these are matched; where
// that fails all else points at the last place found.
func (s source) align(n ast.Node, text string) []Position {
	at := positionOf(n)
	var style token.Type
	if block, ok := n.(*ast.LiteralNode); ok {
		at = Position{Line: block.GetToken().Position.Line + 1, Column: 1}
	} else if tk := n.GetToken(); tk != nil {
		style = tk.Type
	}
	quoted := style == token.SingleQuoteType || style == token.DoubleQuoteType
	if quoted {
		at = s.next(at)
	}
	out := make([]Position, 0, len(text)+1)
	for _, r := range text {
		if unicode.IsSpace(r) {
			out = append(out, at)
			continue
		}
		at = s.skipSpace(at)
		for style == token.DoubleQuoteType && s.at(at) == '\\' && strings.ContainsRune(" \t\r\ntnrvf_NLP", s.at(s.next(at))) {
			at = s.skipSpace(s.next(s.next(at))) // an escape that is white space
		}
		out = append(out, at)
		switch {
		case style == token.DoubleQuoteType && s.at(at) == '\\':
			at = s.skipEscape(at)
		case style == token.SingleQuoteType && r == '\'' && s.at(at) == '\'':
			at = s.next(s.next(at))
		case s.at(at) == r:
			at = s.next(at)
		}
	}
	return append(out, at)
}

// skipEscape steps over one escape of a double-quoted scalar.
func (s source) skipEscape(p Position) Position {
	p = s.next(p)
	width := map[rune]int{'x': 2, 'u': 4, 'U': 8}[s.at(p)]
	for range width + 1 {
		p = s.next(p)
	}
	return p
}

// positionOf gives where a node starts: for a mapping its first key, as the
// parser's own token is the colon behind it.
func positionOf(n ast.Node) Position {
	switch v := n.(type) {
	case *ast.MappingNode:
		if len(v.Values) > 0 && !v.IsFlowStyle {
			return positionOf(v.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return positionOf(v.Key)
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return Position{Line: tk.Position.Line, Column: max(tk.Position.Column, 1)}
	}
	return Position{}
}
