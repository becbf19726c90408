package auth

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func mustClaims(tb testing.TB, text string) Claims {
	tb.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var claims Claims
	must(tb, d.Decode(&claims))
	return claims
}

func TestPrincipalOK(t *testing.T) {
	paths := ClaimPaths{
		"id": "sub", "company": "app.company_id", "roles": "https://example.com/roles",
		"branches": "app.branches", "level": "level", "rate": "rate", "big": "big", "missing": "app.nope.deeper", "none": "none",
	}
	p, err := paths.Principal(mustClaims(t, `{"sub": "u1", "app": {"company_id": 42, "branches": ["b1", 2]},
		"https://example.com/roles": ["staff", "desk", "staff"], "level": 3, "rate": 1.5, "big": 99999999999999999999, "none": null}`), Choice{})
	must(t, err)
	want := Principal{ID: "u1", Company: "42", Roles: []string{"staff", "desk"}, Attributes: map[string]any{
		"id": "u1", "company": "42", "roles": []string{"staff", "desk"},
		"branches": []any{"b1", int64(2)}, "level": int64(3), "rate": 1.5, "big": json.Number("99999999999999999999"),
	}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got\n%#v\nwant\n%#v", p, want)
	}
}

func TestPrincipalErr(t *testing.T) {
	paths := ClaimPaths{"id": "sub", "company": "company_id", "roles": "roles"}
	for name, tt := range map[string]struct{ claims, want string }{
		"NoID":         {`{"company_id": "c", "roles": ["r"]}`, `the token has no claim "sub", which holds the user's id`},
		"NullID":       {`{"sub": null, "company_id": "c", "roles": ["r"]}`, `the token has no claim "sub", which holds the user's id`},
		"EmptyID":      {`{"sub": "", "company_id": "c", "roles": ["r"]}`, `the token's claim "sub" must be text or a whole number`},
		"NULInID":      {`{"sub": "a\u0000b", "company_id": "c", "roles": ["r"]}`, `the token's claim "sub" must be text or a whole number`},
		"NoCompany":    {`{"sub": "u", "roles": ["r"]}`, `the token has no claim "company_id", which holds the user's company`},
		"CompanyList":  {`{"sub": "u", "company_id": [{}], "roles": ["r"]}`, `the token's claim "company_id" must be text or a whole number, or a list of these`},
		"CompanyNone":  {`{"sub": "u", "company_id": [], "roles": ["r"]}`, `the token is for several companies: name one, as company beside the token`},
		"CompanyFloat": {`{"sub": "u", "company_id": 1.0, "roles": ["r"]}`, `the token's claim "company_id" must be text or a whole number`},
		"CompanyPower": {`{"sub": "u", "company_id": 1e2, "roles": ["r"]}`, `the token's claim "company_id" must be text or a whole number`},
		"NoRoles":      {`{"sub": "u", "company_id": "c"}`, `the token has no claim "roles", which holds the user's roles`},
		"EmptyRoles":   {`{"sub": "u", "company_id": "c", "roles": []}`, `the token's claim "roles" holds no role`},
		"RolesNumber":  {`{"sub": "u", "company_id": "c", "roles": [1]}`, `the token's claim "roles" must be a list of role names`},
		"RolesObject":  {`{"sub": "u", "company_id": "c", "roles": {"staff": true}}`, `the token's claim "roles" must be a list of role names`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := paths.Principal(mustClaims(t, tt.claims), Choice{})
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Message != tt.want || refusal.Code != CodeUnauthenticated {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A token for several companies is for the one that the connection names; an
// operator's is for any.
func TestPrincipalCompany(t *testing.T) {
	paths := ClaimPaths{"id": "sub", "company": "company_id", "roles": "roles"}
	for name, tt := range map[string]struct {
		company, role, chosen string
		want, refused         string
		operator              bool
	}{
		"Same":           {`"a"`, "staff", "a", "a", "", false},
		"Other":          {`"a"`, "staff", "b", "", "the token is not for the company that the connection names", false},
		"OnlyOne":        {`["a"]`, "staff", "", "a", "", false},
		"OneOfSeveral":   {`["a", 7]`, "staff", "7", "7", "", false},
		"NoneOfSeveral":  {`["a", "b"]`, "staff", "", "", "the token is for several companies: name one, as company beside the token", false},
		"NotOfSeveral":   {`["a", "b"]`, "staff", "c", "", "the token is not for the company that the connection names", false},
		"Operator":       {`"a"`, "support", "c", "c", "", true},
		"OperatorNone":   {`null`, "support", "c", "c", "", true},
		"OperatorAtHome": {`"a"`, "support", "", "a", "", false},
		"OperatorNUL":    {`"a"`, "support", "c\x00", "", "the company that the connection names is not text", false},
	} {
		t.Run(name, func(t *testing.T) {
			claims := mustClaims(t, `{"sub": "u", "company_id": `+tt.company+`, "roles": ["`+tt.role+`"]}`)
			p, err := paths.Principal(claims, Choice{Company: tt.chosen, Operators: []string{"support"}})
			var refusal *Error
			if errors.As(err, &refusal) && refusal.Message != tt.refused || (err != nil) != (tt.refused != "") {
				t.Fatalf("got %v, want %q", err, tt.refused)
			}
			if p.Company != tt.want || p.Operator != tt.operator {
				t.Errorf("got %q, operator %v", p.Company, p.Operator)
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	signers := mustSigners(t)
	v := mustVerifier(t, signers[EdDSA].key)
	paths := ClaimPaths{"id": "sub", "company": "company_id", "roles": "roles"}
	a, err := NewAuthenticator(v, paths)
	must(t, err)
	t.Run("OK", func(t *testing.T) {
		p, err := a.Authenticate(context.Background(), sign(t, signers[EdDSA], standard(nil), nil), "")
		must(t, err)
		if p.ID != "u1" || p.Company != "c1" || !p.Expires.Equal(now.Add(time.Hour+30*time.Second)) {
			t.Errorf("principal: %+v", p)
		}
	})
	t.Run("ErrClaims", func(t *testing.T) {
		_, err := a.Authenticate(context.Background(), sign(t, signers[EdDSA], standard(map[string]any{"company_id": nil}), nil), "")
		if !errors.As(err, new(*Error)) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrUnmapped", func(t *testing.T) {
		if _, err := NewAuthenticator(v, ClaimPaths{"id": "sub", "company": "c"}); err == nil {
			t.Error("roles are not mapped, and nobody says so")
		}
	})
}
