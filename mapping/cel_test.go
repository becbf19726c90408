package mapping

import (
	"fmt"
	"testing"

	"cel.dev/cel-go/cel"
	"pgregory.net/rapid"

	"github.com/walwire/walwire/mapping/predicate"
)

// ruleSource draws a rule over columns without NULLs and attributes that are
// there, so that CEL itself can say what it means.
func ruleSource(t *rapid.T, depth int) string {
	if depth > 0 && rapid.Float64Range(0, 1).Draw(t, "inner") < 0.7 {
		a, b := ruleSource(t, depth-1), ruleSource(t, depth-1)
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0:
			return "(" + a + " && " + b + ")"
		case 1:
			return "(" + a + " || " + b + ")"
		case 2:
			return "!(" + a + ")"
		}
		return "(" + a + " ? " + b + " : " + ruleSource(t, depth-1) + ")"
	}
	op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "op")
	pick := func(values ...string) string { return rapid.SampledFrom(values).Draw(t, "value") }
	switch rapid.IntRange(0, 8).Draw(t, "leaf") {
	case 0:
		return "row.seats " + op + " " + pick("1", "3", "user.n", "user.n + 1", "(user.flag ? 2 : 3)")
	case 1:
		return pick("1", "3", "user.n", "user.n - 1") + " " + op + " row.seats"
	case 2:
		return "row.status " + op + " " + pick("'open'", "'held'", "user.a", "user.a + 'x'")
	case 3:
		return "row.status in " + pick("[]", "['open']", "['x', 'held']", "user.list", "[user.a, 'open']")
	case 4:
		return pick("'x'", "user.a", "'open'") + " in row.tags"
	case 5:
		return "row.status.startsWith(" + pick("'o'", "''", "user.a", "'held!'") + ")"
	case 6:
		return pick("row.active", "!row.active", "row.active == user.flag", "row.active != true")
	case 7:
		return pick("user.flag", "user.a == 'open'", "'open' in user.list", "true", "false", "user.n > 2")
	}
	return "row.score " + op + " " + pick("1.5", "0.0", "double(user.n)")
}

// TestRuleMeansWhatCELSays compares translated rules with CEL's own evaluation.
func TestRuleMeansWhatCELSays(t *testing.T) {
	var columns []predicate.Column
	for _, c := range visits().Columns {
		columns = append(columns, c.Column)
	}
	held := 0
	rapid.Check(t, func(rt *rapid.T) {
		text := ruleSource(rt, 3)
		seats, score := rapid.Int64Range(1, 4).Draw(rt, "seats"), rapid.SampledFrom([]float64{0, 1.5, 3}).Draw(rt, "score")
		status := rapid.SampledFrom([]string{"open", "held", "x"}).Draw(rt, "status")
		active := rapid.Bool().Draw(rt, "active")
		tags := rapid.SampledFrom([][]string{{}, {"x"}, {"open", "x"}}).Draw(rt, "tags")
		user := map[string]any{
			"n": rapid.Int64Range(1, 4).Draw(rt, "n"), "flag": rapid.Bool().Draw(rt, "flag"),
			"a": rapid.SampledFrom([]string{"x", "open", "h"}).Draw(rt, "a"), "list": []any{"open", "y"},
			"id": "u", "company": "c", "roles": []string{"r"},
		}
		source := row{"seats": fmt.Sprint(seats), "score": fmt.Sprint(score), "status": status, "active": fmt.Sprint(active)[:1], "tags": "{"}
		for i, tag := range tags {
			if i > 0 {
				source["tags"] += ","
			}
			source["tags"] += tag
		}
		source["tags"] += "}"

		s, err := newSchema(columns, dynAttributes(user))
		if err != nil {
			rt.Fatal(err)
		}
		env, err := s.environment()
		if err != nil {
			rt.Fatal(err)
		}
		ast, issues := env.Compile(text)
		if issues.Err() != nil {
			rt.Fatalf("%s: %v", text, issues.Err())
		}
		program, err := env.Program(ast)
		if err != nil {
			rt.Fatal(err)
		}
		values := map[string]any{"seats": seats, "score": score, "status": status, "active": active, "tags": tags}
		want, _, err := program.Eval(map[string]any{"row": values, "user": user})
		if err != nil {
			rt.Fatalf("%s: %v", text, err)
		}
		if want.Value() == true {
			held++
		}
		if got := mustEval(t, mustRule(t, text).Bind(user), source); got != want.Value() {
			rt.Fatalf("%s\nuser %v\nrow %v\ngot %v, CEL says %v", text, user, source, got, want)
		}
	})
	if held == 0 {
		t.Error("no rule held: the test says nothing")
	}
	t.Logf("%d rules held", held)
}

func dynAttributes(user map[string]any) map[string]*cel.Type {
	types := make(map[string]*cel.Type)
	for name := range user {
		types[name] = cel.DynType
	}
	return types
}
