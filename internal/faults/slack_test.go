//go:build !race

package faults_test

// slack is what the collector may leave behind, in octets.
const slack = 64 << 20
