package bench

import "time"

// usage is what a process has used since it began.
type usage struct {
	CPU time.Duration `json:"cpu"` // user and system
	// Peak is the most memory it had resident since it last rested, in octets; 0 where
	// the system doesn't say.
	Peak int64 `json:"peak"`
	// Resident is what it has now; 0 likewise.
	Resident int64 `json:"resident"`
}
