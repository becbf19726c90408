package mapping

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteSize is an amount of memory or text in octets.
type ByteSize int64

// The units a ByteSize is written with.
const (
	KiB ByteSize = 1 << 10
	MiB ByteSize = 1 << 20
	GiB ByteSize = 1 << 30
)

// String gives the size in the largest unit that divides it.
func (s ByteSize) String() string {
	switch {
	case s == 0:
		return "0B"
	case s%GiB == 0:
		return strconv.FormatInt(int64(s/GiB), 10) + "GiB"
	case s%MiB == 0:
		return strconv.FormatInt(int64(s/MiB), 10) + "MiB"
	case s%KiB == 0:
		return strconv.FormatInt(int64(s/KiB), 10) + "KiB"
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// ParseByteSize reads "65536", "512B", "64KiB", "1MiB" or "2GiB", also with kB,
// MB and GB for powers of a thousand.
func ParseByteSize(s string) (ByteSize, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	units := map[string]int64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
		"KiB": int64(KiB), "MiB": int64(MiB), "GiB": int64(GiB),
	}
	unit, known := units[strings.TrimSpace(s[digits:])]
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if !known || err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size: give a whole number with B, KiB, MiB or GiB, as in 64KiB", s)
	}
	return ByteSize(n * unit), nil
}
