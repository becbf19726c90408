package hostile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/walwire/walwire/internal/apptest"
)

func tokenCases() []attack {
	cases := append(algorithmCases(), claimCases()...)
	cases = append(cases, keyIDCases()...)
	cases = append(cases, ticketCases()...)
	cases = append(cases, renewalCases()...)
	return append(cases, placementCases()...)
}

// refuseToken shows a token in each place where one can be, and a good one of the same
// kind beside it.
func (a *attempt) refuseToken(token, good string, words ...string) {
	a.Helper()
	c := a.dial(a.wide)
	c.refuse(`{"type":"auth","token":`+quote(token)+`}`, 0, "unauthenticated", words...)
	c.closed(4501)
	printable := strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, token)
	a.denied(a.wide, query(printable, `{"table":"appointments"}`), http.StatusUnauthorized, "unauthenticated", words...)
	a.denied(a.wide, request{method: "GET", path: "/v1/sse", token: printable}, http.StatusUnauthorized, "unauthenticated", words...)
	a.connect(a.wide, good)
	if n := len(a.rows(a.granted(a.wide, query(good, `{"table":"appointments"}`)))); n != 4 {
		a.Errorf("a good token shows %d rows", n)
	}
}

// badToken is a case of a token; the control is one of HS256.
func badToken(name string, words string, token func(a *attempt) string) attack {
	return attack{name: name, run: func(a *attempt) {
		a.refuseToken(token(a), forge(header("HS256", "main"), a.claims(nil), a.secret()), words)
	}}
}

func header(alg string, kid any) map[string]any {
	return map[string]any{"alg": alg, "typ": "JWT", "kid": kid}
}

func algorithmCases() []attack {
	var cases []attack
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", ""} {
		cases = append(cases, badToken(fmt.Sprintf("alg %q", alg), "", func(a *attempt) string {
			return forge(header(alg, "main"), a.claims(nil), nil)
		}))
	}
	confused := func(name, kid string, secret func(a *attempt) []byte) attack {
		return attack{name: name, run: func(a *attempt) {
			good := map[string]string{
				"rsa": a.sign(jwt.SigningMethodRS256, a.keys.rsa, header("RS256", "rsa"), a.claims(nil)),
				"ec":  a.sign(jwt.SigningMethodES256, a.keys.ec, header("ES256", "ec"), a.claims(nil)),
				"ed":  a.sign(jwt.SigningMethodEdDSA, a.keys.ed, header("EdDSA", "ed"), a.claims(nil)),
			}[kid]
			a.refuseToken(forge(header("HS256", kid), a.claims(nil), secret(a)), good, "algorithm")
		}}
	}
	return append(cases,
		badToken("alg missing", "", func(a *attempt) string {
			return forge(map[string]any{"kid": "main"}, a.claims(nil), a.secret())
		}),
		badToken("alg a list", "", func(a *attempt) string {
			return forge(map[string]any{"alg": []string{"HS256"}, "kid": "main"}, a.claims(nil), a.secret())
		}),
		badToken("alg hs256", "", func(a *attempt) string { return forge(header("hs256", "main"), a.claims(nil), a.secret()) }),
		badToken("alg HS512 of the right secret", "", func(a *attempt) string {
			return a.sign(jwt.SigningMethodHS512, a.secret(), header("HS512", "main"), a.claims(nil))
		}),
		badToken("alg none with a signature", "", func(a *attempt) string { return forge(header("none", "main"), a.claims(nil), a.secret()) }),
		badToken("no signature", "signature", func(a *attempt) string { return forge(header("HS256", "main"), a.claims(nil), nil) }),
		confused("HS256 by the RSA key in PEM", "rsa", func(a *attempt) []byte { return publicPEM(a.T, a.keys.rsa.Public()) }),
		confused("HS256 by the RSA key in DER", "rsa", func(a *attempt) []byte { return publicDER(a.T, a.keys.rsa.Public()) }),
		confused("HS256 by the EC key in PEM", "ec", func(a *attempt) []byte { return publicPEM(a.T, a.keys.ec.Public()) }),
		confused("HS256 by the Ed25519 key's octets", "ed", func(a *attempt) []byte {
			return publicDER(a.T, a.keys.ed.Public())[12:] // what follows the algorithm
		}),
		confused("HS256 by nothing", "rsa", func(*attempt) []byte { return []byte{} }),
		badToken("RS256 under the secret's kid", "algorithm", func(a *attempt) string {
			return a.sign(jwt.SigningMethodRS256, a.keys.rsa, header("RS256", "main"), a.claims(nil))
		}),
		badToken("an ES256 signature of zeros", "signature", func(a *attempt) string {
			token := forge(header("ES256", "ec"), a.claims(nil), []byte("x"))
			return token[:strings.LastIndexByte(token, '.')+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
		}),
	)
}

func claimCases() []attack {
	with := func(name, words string, claims func() apptest.Claims) attack {
		return badToken(name, words, func(a *attempt) string { return forge(header("HS256", "main"), a.claims(claims()), a.secret()) })
	}
	is := func(name string, value any) func() apptest.Claims {
		return func() apptest.Claims { return apptest.Claims{name: value} }
	}
	return []attack{
		with("expired", "expired", func() apptest.Claims { return apptest.Claims{"exp": time.Now().Add(-time.Second).Unix()} }),
		with("not yet valid", "not valid yet", func() apptest.Claims { return apptest.Claims{"nbf": time.Now().Add(time.Minute).Unix()} }),
		with("no exp", "claims", is("exp", nil)),
		with("exp as text", "", is("exp", "9999999999")),
		with("exp beyond all time", "", is("exp", 1e300)),
		with("exp negative", "", is("exp", -1)),
		with("wrong issuer", "issuer", is("iss", "https://elsewhere.test")),
		with("issuer with a slash more", "issuer", func() apptest.Claims { return apptest.Claims{"iss": "https://issuer.test/"} }),
		with("issuer a list", "", is("iss", []string{"https://issuer.test"})),
		with("no issuer", "", is("iss", nil)),
		with("wrong audience", "audience", is("aud", "somebody else")),
		with("audience a prefix", "audience", is("aud", []string{"walwire", "walwire-tes"})),
		with("no audience", "", is("aud", nil)),
		with("no company", "company_id", is("company_id", nil)),
		with("company with NUL", "company_id", is("company_id", companyA+"\x00")),
		with("company an object", "company_id", is("company_id", map[string]any{"$ne": nil})),
		with("two companies and none named", "name one", is("company_id", []string{companyA, companyB})),
		with("no user", "sub", is("sub", nil)),
		with("user an object", "sub", is("sub", map[string]any{"id": "owner"})),
		with("no roles", "roles", is("roles", nil)),
		with("roles an object", "roles", is("roles", map[string]any{"owner": true})),
		with("over size", "too long", is("sub", strings.Repeat("x", 9000))),
		badToken("wrong key", "signature", func(a *attempt) string {
			return forge(header("HS256", "main"), a.claims(nil), []byte("another secret of thirty-two octets and more"))
		}),
		badToken("claims under another token's signature", "signature", func(a *attempt) string {
			mine := forge(header("HS256", "main"), a.claims(apptest.Claims{"company_id": companyA}), a.secret())
			other := forge(header("HS256", "main"), a.claims(apptest.Claims{"company_id": companyB}), a.secret())
			return other[:strings.LastIndexByte(other, '.')] + mine[strings.LastIndexByte(mine, '.'):]
		}),
		badToken("crit", "extension", func(a *attempt) string {
			return forge(map[string]any{"alg": "HS256", "kid": "main", "crit": []string{"exp"}}, a.claims(nil), a.secret())
		}),
		badToken("unencoded payload", "", func(a *attempt) string {
			return forge(map[string]any{"alg": "HS256", "kid": "main", "b64": false, "crit": []string{"b64"}}, a.claims(nil), a.secret())
		}),
		badToken("five parts", "not a signed", func(*attempt) string { return "e30.e30.e30.e30.e30" }),
		badToken("a blank within", "not a signed", func(a *attempt) string {
			return strings.Replace(a.wide.owner(), ".", ". ", 1)
		}),
	}
}

// keyIDCases name keys that are none, and bring some of their own.
func keyIDCases() []attack {
	var cases []attack
	for name, kid := range map[string]any{
		"path": "../../../../dev/null", "SQL": "main' UNION SELECT 'x", "command": "main;|id", "URL": "http://issuer.test/k", "NUL": "main\x00",
		"empty": "", "very long": strings.Repeat("k", 5000), "a number": 0, "a list": []string{"main"}, "an object": map[string]any{"id": "main"}, "null": nil,
		"in capitals": "MAIN", "with a blank": "main ",
	} {
		cases = append(cases, badToken("kid "+name, "", func(a *attempt) string { return forge(header("HS256", kid), a.claims(nil), a.secret()) }))
	}
	embedded := func(name string, extra func(a *attempt, key *ecdsa.PrivateKey) map[string]any) attack {
		return attack{name: name, run: func(a *attempt) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				a.Fatal(err)
			}
			h := header("ES256", "ec")
			for k, v := range extra(a, key) {
				h[k] = v
			}
			good := a.sign(jwt.SigningMethodES256, a.keys.ec, h, a.claims(nil)) // what the key is not taken from does no harm
			a.refuseToken(a.sign(jwt.SigningMethodES256, key, h, a.claims(nil)), good, "signature")
		}}
	}
	coordinate := func(n *big.Int) string { return base64URL(n.FillBytes(make([]byte, 32))) }
	return append(cases,
		badToken("kid missing among several keys", "", func(a *attempt) string {
			return forge(map[string]any{"alg": "HS256"}, a.claims(nil), a.secret())
		}),
		embedded("embedded jwk", func(_ *attempt, key *ecdsa.PrivateKey) map[string]any {
			return map[string]any{"jwk": map[string]any{"kty": "EC", "crv": "P-256", "kid": "ec", "x": coordinate(key.X), "y": coordinate(key.Y)}}
		}),
		embedded("jku of its own", func(a *attempt, _ *ecdsa.PrivateKey) map[string]any {
			return map[string]any{"jku": a.wide.URL() + "/keys.json", "x5u": a.wide.URL() + "/key.pem"}
		}),
		embedded("embedded x5c", func(a *attempt, key *ecdsa.PrivateKey) map[string]any {
			return map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(publicDER(a.T, key.Public()))}}
		}),
	)
}
