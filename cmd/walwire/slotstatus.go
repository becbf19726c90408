package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/walwire/walwire/cdc"
)

// slotStatusCmd is `walwire slot status`.
type slotStatusCmd struct {
	slotFlags
	JSON bool `help:"Print it as JSON, for programs."`
}

// Help explains the command.
func (slotStatusCmd) Help() string {
	return `Shows the replication slot: who reads it, where it stands, and how much WAL PostgreSQL keeps for it. It changes nothing.

  walwire slot status --config walwire.yaml
  walwire slot status --config walwire.yaml --json | jq .retained_bytes

Exits with 1 when the slot is not there, or is lost.

retained is what grows while nobody reads; max_slot_wal_keep_size bounds it, and past that bound the slot is lost. safe is how much more may be written before.`
}

// slotStatus is the slot for programs.
type slotStatus struct {
	Slot          string `json:"slot"`
	Type          string `json:"type"`
	Plugin        string `json:"plugin"`
	Database      string `json:"database"`
	Active        bool   `json:"active"`
	ActivePID     int32  `json:"active_pid,omitempty"`
	Application   string `json:"application,omitempty"`
	Confirmed     string `json:"confirmed_flush_lsn"`
	Restart       string `json:"restart_lsn"`
	LagBytes      int64  `json:"lag_bytes"`
	RetainedBytes int64  `json:"retained_bytes"`
	SafeBytes     *int64 `json:"safe_wal_bytes"` // null: no bound, or lost
	WALStatus     string `json:"wal_status"`
	Lost          string `json:"lost,omitempty"` // why
	Invalidation  string `json:"invalidation_reason,omitempty"`
	Failover      bool   `json:"failover"`
}

// Run shows the slot.
func (k *slotStatusCmd) Run(ctx context.Context, c *console) error {
	s, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	h := s.health
	if h == nil {
		return s.missing()
	}
	write := writeSlotText
	if k.JSON {
		write = writeSlotJSON
	}
	if err := write(c.out, h); err != nil {
		return fmt.Errorf("print the slot: %w", err)
	}
	if why := h.Lost(); why != "" {
		return fmt.Errorf("slot %q is lost: %s", h.Name, why)
	}
	return nil
}

func writeSlotJSON(out io.Writer, h *cdc.SlotHealth) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(slotStatus{
		Slot: h.Name, Type: h.Type, Plugin: h.Plugin, Database: h.Database, Active: h.Active, ActivePID: h.ActivePID, Application: h.Application,
		Confirmed: h.Confirmed.String(), Restart: h.Restart.String(), LagBytes: h.LagBytes(), RetainedBytes: h.RetainedBytes, SafeBytes: h.SafeBytes,
		WALStatus: h.WALStatus, Lost: h.Lost(), Invalidation: h.Invalidation, Failover: h.Failover,
	})
}

func writeSlotText(out io.Writer, h *cdc.SlotHealth) error {
	active, safe, plugin := "no", "no bound (max_slot_wal_keep_size)", h.Plugin
	if h.Active {
		active = fmt.Sprintf("pid %d (%s)", h.ActivePID, h.Application)
	}
	switch {
	case h.Lost() != "":
		safe = "lost: " + h.Lost()
	case h.SafeBytes != nil:
		safe = octets(*h.SafeBytes)
	}
	if plugin == "" {
		plugin = "none: a physical slot"
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"slot", h.Name}, {"plugin", plugin}, {"database", h.Database}, {"active", active},
		{"confirmed_flush", h.Confirmed.String()}, {"restart_lsn", h.Restart.String()},
		{"lag", octets(h.LagBytes())}, {"retained", octets(h.RetainedBytes)}, {"safe", safe}, {"wal_status", h.WALStatus},
		{"invalidation", h.Invalidation}, {"failover", map[bool]string{true: "yes"}[h.Failover]},
	} {
		if row[1] != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", row[0], row[1]) // to memory, until Flush
		}
	}
	return w.Flush()
}
