package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// maxSetBytes bounds a set, in octets. One key takes about 500, some 3,000 with
	// its certificates.
	maxSetBytes = 512 << 10
	// maxSetHeaderBytes bounds the headers of the answer, in octets.
	maxSetHeaderBytes = 64 << 10
	// maxRedirects bounds the redirects of one fetch.
	maxRedirects = 3
)

// keySetFetcher fetches the set of one URL.
type keySetFetcher struct {
	url      string
	timeout  time.Duration
	accepted []Algorithm
	client   *http.Client
}

func newKeySetFetcher(o JWKSOptions) *keySetFetcher {
	transport := o.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DisableKeepAlives:      true, // the next fetch is far away
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxSetHeaderBytes,
		}
	}
	return &keySetFetcher{o.URL, o.Timeout, o.Algorithms, &http.Client{Transport: transport, CheckRedirect: sameHost}}
}

// sameHost follows a redirect only where it stays with the one who is trusted.
func sameHost(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	switch {
	case next.URL.Scheme != first.Scheme || next.URL.Host != first.Host:
		return fmt.Errorf("it redirects to %q, and redirects to another host are not followed: give that address if it is the right one",
			next.URL.Scheme+"://"+next.URL.Host)
	case len(before) > maxRedirects:
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// fetch gets the set. It takes no longer than the timeout.
func (f *keySetFetcher) fetch(ctx context.Context) (*KeySet, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("no whole answer within %v", f.timeout))
	defer cancel()
	data, err := f.get(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var outer *url.Error // repeats the URL, which may hold an API key
		if errors.As(err, &outer) {
			return nil, outer.Err
		}
		return nil, err
	}
	return parseKeySet(data, f.accepted)
}

func (f *keySetFetcher) get(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is HTTP %d, not 200", response.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxSetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(data) > maxSetBytes {
		return nil, fmt.Errorf("the answer is larger than %d KiB", maxSetBytes>>10)
	}
	return data, nil
}
