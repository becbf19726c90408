package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/mapping"
)

// tokenCmd is `walwire token`.
type tokenCmd struct {
	Config  string            `help:"Configuration file, with an HS256 key." required:"" short:"c" placeholder:"FILE" env:"WALWIRE_CONFIG"`
	Sub     string            `help:"Who it is for: the user's id." required:"" placeholder:"ID"`
	Company string            `help:"The user's company." required:"" placeholder:"ID"`
	Role    []string          `help:"A role of the user. Repeat for more." required:"" sep:"none" placeholder:"NAME"`
	Claim   map[string]string `help:"A further claim. The value is JSON, or else text. Repeat for more." mapsep:"none" placeholder:"NAME=VALUE"`
	TTL     time.Duration     `help:"How long it is valid." default:"1h"`
	Key     string            `help:"Id of the key to sign with. Default: the first HS256 key." placeholder:"ID"`
}

// Help explains the command.
func (tokenCmd) Help() string {
	return `Signs a token with the configuration's HS256 key and prints it. For development: in production your own backend signs tokens, with a key that this machine need not have. It refuses where the configuration has public keys only.

  walwire token --config walwire.yaml --sub anna --company 7d44... --role staff --claim 'branch_ids=["51aa..."]' --ttl 8h

The claims get the names that the configuration reads them by, and its issuer and audience. No database is needed.`
}

// Run signs one token.
func (t *tokenCmd) Run(c *console) error {
	cfg, err := mapping.Load(t.Config, withoutDatabase)
	if err != nil {
		return err
	}
	claims, err := t.claims(cfg)
	if err != nil {
		return err
	}
	key, err := signingKey(cfg, t.Key)
	if err != nil {
		return err
	}
	for _, role := range t.Role {
		if !knownRole(cfg, role) {
			c.log.Warn("no table of the configuration has a rule for this role", "role", role)
		}
	}
	token, err := auth.Sign(key, claims, t.TTL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, token)
	return err
}

// withoutDatabase is the environment, with something where the databases' URLs
// are expected: signing needs none.
func withoutDatabase(name string) (string, bool) {
	env := overlay(nil)
	if v, ok := env(name); ok && v != "" {
		return v, true
	}
	unused := name == envDatabaseURL || name == envAdminDatabaseURL
	return "postgres://", unused
}

// claims are those of the token, checked as the server will check them.
func (t *tokenCmd) claims(cfg *mapping.Config) (auth.Claims, error) {
	claims := signable(cfg, auth.Claims{})
	for name, text := range t.Claim {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			value = text
		}
		claims[name] = value
	}
	paths := auth.ClaimPaths(cfg.User.Claims)
	claims[paths[mapping.AttributeID]] = t.Sub
	claims[paths[mapping.AttributeCompany]] = t.Company
	claims[paths[mapping.AttributeRoles]] = t.Role
	// As the server will read them: parsed from JSON.
	text, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("encode the claims: %w", err)
	}
	var parsed auth.Claims
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, fmt.Errorf("decode the claims: %w", err)
	}
	parsed["exp"] = float64(time.Now().Add(t.TTL).Unix())
	if _, err := paths.Principal(parsed, auth.Choice{}); err != nil {
		return nil, fmt.Errorf("the server would refuse this token: %w", err)
	}
	return claims, nil
}

// signable adds what every token of the configuration carries.
func signable(cfg *mapping.Config, claims auth.Claims) auth.Claims {
	claims["iss"] = cfg.Auth.Issuer
	claims["aud"] = cfg.Auth.Audience[0]
	return claims
}

// signingKey is the HS256 key of that id, or the first one.
func signingKey(cfg *mapping.Config, id string) (*auth.Key, error) {
	for _, k := range cfg.Auth.Keys {
		if k.Algorithm == string(auth.HS256) && (id == "" || k.ID == id) {
			return auth.NewSecretKey(k.ID, []byte(k.Secret.Reveal()))
		}
	}
	if id != "" {
		return nil, fmt.Errorf("%s has no HS256 key %q to sign with", cfg.File, id)
	}
	return nil, errors.New("the configuration has no HS256 key to sign with: its keys can only verify." +
		" Add one for development, or let whoever holds the private key sign")
}

func knownRole(cfg *mapping.Config, role string) bool {
	return slices.ContainsFunc(cfg.Tables, func(t mapping.TableConfig) bool {
		return slices.ContainsFunc(t.Roles, func(r mapping.RoleConfig) bool { return r.Name == role })
	})
}
