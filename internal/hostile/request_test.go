package hostile_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// request is an HTTP request; only path is needed.
type request struct {
	method, path, token, body string
	header                    map[string]string
	host                      string // as Host; "" is where it goes
}

// answer is what it was answered with. Code and Message are of an error.
type answer struct {
	status        int
	header        http.Header
	body          string
	Code, Message string
}

// ask makes a request to p.
func (a *attempt) ask(p *place, r request) answer {
	a.Helper()
	return a.askAt(p.URL(), r)
}

func (a *attempt) askAt(url string, r request) answer {
	a.Helper()
	got, err := a.tryAsk(url, r)
	if err != nil {
		a.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return got
}

// tryAsk is askAt for goroutines, and for servers that may hang up.
func (a *attempt) tryAsk(url string, r request) (answer, error) {
	if r.method == "" {
		r.method = http.MethodPost
	}
	out, err := http.NewRequestWithContext(a.Context(), r.method, url+r.path, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	out.Host = r.host
	out.Header.Set("X-Forwarded-For", a.address)
	if r.token != "" {
		out.Header.Set("Authorization", "Bearer "+r.token)
	}
	for name, value := range r.header {
		out.Header.Set(name, value)
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	in, err := client.Do(out)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = in.Body.Close() }()
	got := answer{status: in.StatusCode, header: in.Header}
	if in.Header.Get("Content-Type") == "text/event-stream" && r.method != http.MethodHead { // endless: its first event says enough
		first := make([]byte, 4096)
		n, err := in.Body.Read(first)
		got.body = string(first[:n])
		return got, err
	}
	text, err := io.ReadAll(in.Body)
	got.body = string(text)
	_ = json.Unmarshal(text, &got) // of an error; else there is none
	return got, err
}

// denied makes a request that has to be answered with this status and code.
func (a *attempt) denied(p *place, r request, status int, code string, words ...string) answer {
	a.Helper()
	got := a.ask(p, r)
	a.mustDeny(got, status, code, words...)
	return got
}

func (a *attempt) mustDeny(got answer, status int, code string, words ...string) {
	a.Helper()
	if got.status != status || got.Code != code {
		a.Fatalf("want HTTP %d %s, got %d %.1000s", status, code, got.status, got.body)
	}
	a.clean([]byte(got.body), markB)
	a.worded(got.Message, words...)
	a.refusals.Add(1)
}

// granted makes a request that has to be served.
func (a *attempt) granted(p *place, r request) answer {
	a.Helper()
	got := a.ask(p, r)
	a.mustGrant(got)
	return got
}

func (a *attempt) mustGrant(got answer) {
	a.Helper()
	if got.status != http.StatusOK {
		a.Fatalf("want HTTP 200, got %d %.1000s", got.status, got.body)
	}
	a.served.Add(1)
}

// query is POST /v1/query of a query.
func query(token, text string) request {
	return request{path: "/v1/query", token: token, body: `{"query":` + text + `}`}
}

// rows gives the rows of an answer to POST /v1/query.
func (a *attempt) rows(got answer) []map[string]any {
	a.Helper()
	var body struct{ Rows []map[string]any }
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		a.Fatalf("%.500s: %v", got.body, err)
	}
	return body.Rows
}

// until asks again until ok says so: for what the server does soon, and tells nobody.
func (a *attempt) until(what string, ok func() bool) {
	a.Helper()
	a.untilEvery(10*time.Millisecond, what, ok)
}

func (a *attempt) untilEvery(pace time.Duration, what string, ok func() bool) {
	a.Helper()
	for late := time.Now().Add(patience); !ok(); time.Sleep(pace) {
		if time.Now().After(late) {
			a.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// hungUp reports whether err is a server's that has ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)
}
