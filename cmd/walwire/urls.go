package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// The paths of a server that commands use.
const (
	streamPath = "/v1/stream"
	readyPath  = "/readyz"
)

// streamURL reads a server's address for the WebSocket: http and https are taken
// as well as ws and wss, and without a path it is that of the protocol.
func streamURL(text string) (string, error) {
	u, err := parseServer(text)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = streamPath
	}
	return u.String(), nil
}

// httpURL reads a server's address for its health, from either kind of address.
func httpURL(text string) (string, error) {
	u, err := parseServer(text)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	}
	if root, ok := strings.CutSuffix(u.Path, streamPath); ok || u.Path == "" || u.Path == "/" {
		u.Path = strings.TrimSuffix(root, "/") + readyPath
	}
	return u.String(), nil
}

// reachable is address as seen from this machine: a server that listens on all
// addresses is at 127.0.0.1 as well.
func reachable(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		u.Host = net.JoinHostPort("127.0.0.1", u.Port())
	}
	return u.String()
}

func parseServer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
		if u.Host != "" {
			return u, nil
		}
	}
	return nil, fmt.Errorf("--url: %q is not a server's address: give one as in ws://127.0.0.1:8080%s", text, streamPath)
}
