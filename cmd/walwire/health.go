package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxHealthBody bounds what is read of an answer, in octets.
const maxHealthBody = 64 << 10

// healthCmd is `walwire health`.
type healthCmd struct {
	URL     string        `help:"The server; with a path, that is asked instead of /readyz." default:"http://127.0.0.1:8080" env:"WALWIRE_URL"`
	Timeout time.Duration `help:"How long to wait for the answer." default:"3s"`
}

// Help explains the command.
func (healthCmd) Help() string {
	return `Asks GET /readyz and exits with 0 when the server is ready, otherwise with 1 and the reason. For health checks of containers, where there is no curl.

  walwire health --url http://127.0.0.1:8080`
}

// Run asks once.
func (h *healthCmd) Run(ctx context.Context, c *console) error {
	address, err := httpURL(h.URL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealthBody))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers: %s", reason(response.Status, body))
	}
	_, err = fmt.Fprintln(c.out, "ok")
	return err
}

// reason is what the server says is wrong, or its status.
func reason(status string, body []byte) string {
	var answer struct{ Reason, Message string }
	_ = json.Unmarshal(body, &answer) // of something else than walwire the status has to do
	for _, text := range []string{answer.Reason, answer.Message} {
		if text = strings.TrimSpace(text); text != "" {
			return text
		}
	}
	return status
}
