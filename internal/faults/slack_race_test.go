//go:build race

package faults_test

// slack is what the collector may leave behind, in octets: the race detector takes several
// times the memory.
const slack = 256 << 20
