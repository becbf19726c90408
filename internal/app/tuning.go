package app

import "time"

// Tuning are bounds without a place in the configuration: the defaults, which
// zero values mean, suit every server, and tests need them small.
type Tuning struct {
	ChainBytes          int // see stream.Options
	InboxBytes          int
	MaxTransactionBytes int // see cdc.ConsumerOptions
	DataFrameBytes      int // see stream.ServerOptions
	Unmerged            bool
	WriteTimeout        time.Duration
	CatalogInterval     time.Duration // see stream.Options
	PingInterval        time.Duration
	ResumePatience      time.Duration
	Silence             time.Duration // see cdc.ConsumerOptions.MinSilence
	TakenPatience       time.Duration // see cdc.ConsumerOptions
	QueryMargin         time.Duration // see cdc.SnapshotterOptions.Margin
	RequestTimeout      time.Duration // see requestTimeout
}

// Tune replaces the bounds. Call it before Run.
func (a *App) Tune(t Tuning) { a.tuning = t }
