package app

import (
	"fmt"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

// maxProfile bounds how long a profile may take.
const maxProfile = 5 * time.Minute

// addProfiles serves /debug/pprof/ as go tool pprof and go tool trace ask for it. It is
// not package net/http/pprof, which adds itself to http.DefaultServeMux when it is
// imported: a program that embeds walwire might serve that to the public.
func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/{$}", listProfiles)
	mux.HandleFunc("GET /debug/pprof/{name}", lookupProfile)
	mux.HandleFunc("GET /debug/pprof/profile", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, 30*time.Second, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	})
	mux.HandleFunc("GET /debug/pprof/trace", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, time.Second, func() error { return trace.Start(w) }, trace.Stop)
	})
}

func listProfiles(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, p := range pprof.Profiles() {
		_, _ = fmt.Fprintf(w, "%s\t%d\n", p.Name(), p.Count())
	}
	_, _ = fmt.Fprintln(w, "profile\t(CPU; ?seconds=30)\ntrace\t(?seconds=1)") // the client may be gone
}

// lookupProfile gives a profile as it is now: in the format of pprof, or with ?debug=1
// (goroutines: 2) as text.
func lookupProfile(w http.ResponseWriter, r *http.Request) {
	profile := pprof.Lookup(r.PathValue("name"))
	if profile == nil {
		answerError(w, http.StatusNotFound, "not-found", fmt.Sprintf("no profile is called %q: /debug/pprof/ lists them", r.PathValue("name")))
		return
	}
	debug, _ := strconv.Atoi(r.URL.Query().Get("debug")) // none is 0
	contentType := "application/octet-stream"
	if debug > 0 {
		contentType = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", contentType)
	_ = profile.WriteTo(w, debug) // the client may be gone
}

// record runs a recording for ?seconds, or until the client has gone.
func record(w http.ResponseWriter, r *http.Request, duration time.Duration, start func() error, stop func()) {
	if seconds, err := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64); err == nil && seconds > 0 {
		duration = min(time.Duration(seconds*float64(time.Second)), maxProfile)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(); err != nil {
		answerError(w, http.StatusConflict, "failed-precondition", fmt.Sprintf("%v: try again when it is done", err))
		return
	}
	defer stop()
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}
