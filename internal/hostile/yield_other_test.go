//go:build !linux

package hostile_test

func yield() {} // priorities are not a thread's
