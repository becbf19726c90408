package stream

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync"
)

// keyed is a session whose client's frames come by requests of their own, which name it
// by a key that only its client knows.
type keyed struct {
	session *session
	polling *polling    // nil: server-sent events
	turn    *sync.Mutex // one request's frames at a time
}

func newKey() string {
	secret := make([]byte, 24)
	_, _ = rand.Read(secret) // never fails
	return base64.RawURLEncoding.EncodeToString(secret)
}

// unlock lets requests find the session by its key, until lock.
func (s *Server) unlock(ss *session, p *polling) {
	s.mu.Lock()
	s.keyed[ss.key] = keyed{ss, p, new(sync.Mutex)}
	s.mu.Unlock()
}

func (s *Server) lock(ss *session) {
	s.mu.Lock()
	delete(s.keyed, ss.key)
	s.mu.Unlock()
}

// sending is the body of POST /v1/send.
type sending struct {
	Key    string            `json:"key"`
	Frames []json.RawMessage `json:"frames"`
}

// sendHTTP is POST /v1/send: frames of a client that gets its own by server-sent events
// or polls. The answer says that they have been taken.
func (s *Server) sendHTTP(w http.ResponseWriter, r *http.Request) {
	var body sending
	if err := s.readBody(w, r, &body); err != nil {
		writeError(w, err)
		return
	}
	k, ok := s.keyedBy(body.Key)
	if !ok {
		writeError(w, errUnknownKey())
		return
	}
	if !k.turn.TryLock() { // or they would wait without number, for a client that is read slowly
		writeError(w, errorf(CodeResourceExhausted, "another request's frames are being taken: send them in one request at a time, the next after its answer"))
		return
	}
	k.take(body.Frames)
	k.turn.Unlock()
	writeJSON(w, http.StatusOK, struct{}{})
}

func errUnknownKey() *Error {
	return errorf(CodeNotFound, "there is no connection of that key, any more: connect again")
}

func (s *Server) keyedBy(key string) (keyed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keyed[key]
	return k, ok
}

// take does what frames ask, in order. It is the caller's turn.
func (k keyed) take(frames []json.RawMessage) {
	for _, frame := range frames {
		if k.session.gone() {
			return
		}
		k.session.handle(frame)
	}
}
