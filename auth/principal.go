package auth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Principal is who a verified token speaks for.
type Principal struct {
	ID      string
	Company string
	// Operator says that the company is not the token's but one that the connection
	// named, as a role of the token may.
	Operator bool
	Roles    []string // never empty, as a token gives it
	// Attributes are what access rules know of the user: every mapped claim that
	// the token has, with id, company and roles as above ([]string).
	Attributes map[string]any
	// Expires is when the token ends to be accepted: its exp and the allowed skew.
	Expires time.Time
}

// The attributes that every Principal has.
const (
	attributeID      = "id"
	attributeCompany = "company"
	attributeRoles   = "roles"
)

// ClaimPaths maps the names of attributes to the paths of claims. It needs id,
// company and roles.
type ClaimPaths map[string]string

// Choice is which company a connection is for, where that is not the token's to say.
type Choice struct {
	Company   string   // "" where the client names none
	Operators []string // roles that may name any
}

// Validate checks that the required attributes are mapped.
func (p ClaimPaths) Validate() error {
	for _, name := range []string{attributeID, attributeCompany, attributeRoles} {
		if p[name] == "" {
			return fmt.Errorf("no claim is mapped to %q", name)
		}
	}
	return nil
}

// Principal makes the Principal of verified claims. An id and a company are
// text or whole numbers; roles are a list of texts, or one text. The company can
// also be a list, of which the choice names one. A token without them is refused with an
// *Error; other claims may be missing.
func (p ClaimPaths) Principal(claims Claims, choice Choice) (Principal, error) {
	id, err := p.identifier(claims, attributeID)
	if err != nil {
		return Principal{}, err
	}
	roles, err := p.roles(claims)
	if err != nil {
		return Principal{}, err
	}
	company, operator, err := p.company(claims, roles, choice)
	if err != nil {
		return Principal{}, err
	}
	attributes := make(map[string]any, len(p))
	for name, path := range p {
		if v, ok := claims.Lookup(path); ok {
			attributes[name] = plain(v)
		}
	}
	attributes[attributeID], attributes[attributeCompany] = id, company
	attributes[attributeRoles] = slices.Clone(roles)
	return Principal{ID: id, Company: company, Operator: operator, Roles: roles, Attributes: attributes}, nil
}

// identifier reads a claim that names something.
func (p ClaimPaths) identifier(claims Claims, attribute string) (string, error) {
	path := p[attribute]
	v, ok := claims.Lookup(path)
	if !ok {
		return "", refuse(fmt.Sprintf("the token has no claim %q, which holds the user's %s", path, attribute), nil)
	}
	if name, ok := identifierOf(v); ok {
		return name, nil
	}
	return "", refuse(fmt.Sprintf("the token's claim %q must be text or a whole number", path), nil)
}

func identifierOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, isText(v)
	case json.Number:
		return v.String(), isWhole(v.String())
	}
	return "", false
}

// company gives the company that a connection is for.
func (p ClaimPaths) company(claims Claims, roles []string, choice Choice) (company string, operator bool, err error) {
	if choice.Company != "" && slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(choice.Operators, r) }) {
		if !isText(choice.Company) {
			return "", false, refuse("the company that the connection names is not text", nil)
		}
		return choice.Company, true, nil
	}
	path := p[attributeCompany]
	v, _ := claims.Lookup(path)
	list, several := v.([]any)
	if !several {
		if company, err = p.identifier(claims, attributeCompany); err != nil {
			return "", false, err
		}
		if choice.Company != "" && choice.Company != company {
			return "", false, refuse("the token is not for the company that the connection names", nil)
		}
		return company, false, nil
	}
	var names []string
	for _, item := range list {
		name, ok := identifierOf(item)
		if !ok {
			return "", false, refuse(fmt.Sprintf("the token's claim %q must be text or a whole number, or a list of these", path), nil)
		}
		names = append(names, name)
	}
	switch {
	case choice.Company == "" && len(names) == 1:
		return names[0], false, nil
	case choice.Company == "":
		return "", false, refuse("the token is for several companies: name one, as company beside the token", nil)
	case !slices.Contains(names, choice.Company):
		return "", false, refuse("the token is not for the company that the connection names", nil)
	}
	return choice.Company, false, nil
}

func (p ClaimPaths) roles(claims Claims) ([]string, error) {
	path := p[attributeRoles]
	v, ok := claims.Lookup(path)
	if !ok {
		return nil, refuse(fmt.Sprintf("the token has no claim %q, which holds the user's roles", path), nil)
	}
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	roles := make([]string, 0, len(list))
	for _, item := range list {
		role, ok := item.(string)
		if !ok || !isText(role) {
			return nil, refuse(fmt.Sprintf("the token's claim %q must be a list of role names", path), nil)
		}
		if !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return nil, refuse(fmt.Sprintf("the token's claim %q holds no role", path), nil)
	}
	return roles, nil
}

// isText accepts text that PostgreSQL can hold and that is not empty.
func isText(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// isWhole accepts a JSON number that is written as an integer, so that one
// number has one text.
func isWhole(s string) bool {
	return s != "-0" && !strings.ContainsAny(s, ".eE")
}
