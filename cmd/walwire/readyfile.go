package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// readyFile is where `walwire dev` says that it is ready; "" is nowhere.
type readyFile string

// prepare removes what an earlier run may have left, and fails where the file
// could not be written later.
func (f readyFile) prepare() error {
	if f == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(string(f))); err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	return f.remove()
}

// write puts the file there in one step, so that who waits for it never reads
// half of it. It is for its owner alone: its tokens and password open doors.
func (f readyFile) write(facts devFacts) error {
	if f == "" {
		return nil
	}
	text, err := json.MarshalIndent(facts, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the ready file: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(string(f)), ".walwire-ready-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	_, writeErr := temp.Write(append(text, '\n'))
	err = errors.Join(writeErr, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), string(f))
	}
	if err != nil {
		return fmt.Errorf("write the ready file: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}

// remove takes it away.
func (f readyFile) remove() error {
	if f == "" {
		return nil
	}
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the ready file: %w", err)
	}
	return nil
}
