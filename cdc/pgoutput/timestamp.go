package pgoutput

import "time"

// epoch is PostgreSQL's, 2000-01-01 00:00:00 UTC, in microseconds of Unix time.
const epoch = 946_684_800_000_000

// Time converts a timestamp of the stream, in microseconds since
// 2000-01-01 00:00:00 UTC.
func Time(microseconds int64) time.Time {
	return time.UnixMicro(epoch + microseconds).UTC()
}
