package stream

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/walwire/walwire/cdc"
)

// cursor is where a client is: a position, and the last commit in the log up to
// there, of whichever company. That names the history that the position belongs to: a
// slot has no identity, and a server put back from a backup keeps the one it had. An
// idle database gets heartbeats, so that there is such a commit. life is a digest of
// what the tables were then, see Hub.
type cursor struct {
	position cdc.LSN
	last     commit
	life     uint32
}

// commit identifies a commit. Without an xid it is none: nothing can be gone on from
// such a cursor.
type commit struct {
	end  cdc.LSN
	xid  uint32
	time int64
}

func commitOf(tx *cdc.Transaction) commit { return commit{end: tx.End, xid: tx.XID, time: tx.Time} }

// sealer makes the opaque texts that clients keep: cursors, and the tokens that
// bind a subscription to what it was. Immutable, safe for concurrent use.
type sealer struct {
	aead   cipher.AEAD
	mac    []byte
	events cipher.Block
}

// newSealer makes one from a secret that all servers of a deployment share.
func newSealer(secret []byte) (*sealer, error) {
	var keys [3][]byte
	for i, use := range [...]string{"walwire cursor", "walwire token", "walwire event"} {
		var err error
		if keys[i], err = hkdf.Key(sha256.New, secret, nil, use, 32); err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
	}
	block, err := aes.NewCipher(keys[0])
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	events, err := aes.NewCipher(keys[2])
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return &sealer{aead: aead, mac: keys[1], events: events}, nil
}

// appendEventID appends what names an event: of a commit, the change's place in it, and
// the rule's in the configuration. The same for all, at every server and after a restart;
// it tells nothing of the changes beside it.
func (s *sealer) appendEventID(dst []byte, at cdc.LSN, index, ordinal int) []byte {
	var block [aes.BlockSize]byte
	binary.BigEndian.PutUint64(block[:], uint64(at))
	binary.BigEndian.PutUint32(block[8:], uint32(index))
	binary.BigEndian.PutUint32(block[12:], uint32(ordinal))
	s.events.Encrypt(block[:], block[:])
	return base64.RawURLEncoding.AppendEncode(dst, block[:])
}

// seal encrypts a cursor for the clients of one company. The nonce is made from
// the content, so that equal ones only ever stand for the same cursor.
func (s *sealer) seal(epoch, company string, c cursor) string {
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, 44), uint64(c.position))
	plain = binary.BigEndian.AppendUint32(plain, c.last.xid)
	plain = binary.BigEndian.AppendUint64(plain, uint64(c.last.time))
	plain = binary.BigEndian.AppendUint32(plain, c.life)
	plain = binary.AppendUvarint(plain, uint64(c.position-c.last.end))
	bound := s.digest(epoch, company)
	nonce := s.digest(string(bound), string(plain))[:s.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce[:len(nonce):len(nonce)], nonce, plain, bound))
}

// open reads a cursor; false for one that was made otherwise, or elsewhere.
func (s *sealer) open(epoch, company, text string) (cursor, bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if n := s.aead.NonceSize(); err == nil && len(sealed) > n {
		plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], s.digest(epoch, company))
		if err != nil || len(plain) < 25 {
			return cursor{}, false
		}
		c := cursor{position: cdc.LSN(binary.BigEndian.Uint64(plain)), life: binary.BigEndian.Uint32(plain[20:])}
		behind, _ := binary.Uvarint(plain[24:])
		c.last = commit{end: c.position - cdc.LSN(behind), xid: binary.BigEndian.Uint32(plain[8:]), time: int64(binary.BigEndian.Uint64(plain[12:]))}
		return c, true
	}
	return cursor{}, false
}

// token is a fingerprint of all parts.
func (s *sealer) token(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(s.digest(parts...)[:16])
}

func (s *sealer) digest(parts ...string) []byte {
	h := hmac.New(sha256.New, s.mac)
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}
