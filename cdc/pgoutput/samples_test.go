package pgoutput_test

// sample is a well-formed message.
type sample struct {
	name string
	src  []byte
}

// samples returns messages of every kind and shape.
func samples() []sample {
	row := []any{"1", nil, "", unchanged{}, []byte{0, 1, 255}, "naïve\n\x01"}
	return []sample{
		{"begin", newMessage('B').uint64(0x16B374D848).uint64(770_000_000_123_456).uint32(0xFFFFFFFE).src},
		{"commit", newMessage('C').byte(0).uint64(0x16B374D848).uint64(0x16B374D878).uint64(770_000_000_123_456).src},
		{"origin", newMessage('O').uint64(0xABCDEF).string("upstream").src},
		{"relation", newMessage('R').uint32(16402).string("Sales").string("Tâble \"x\"").byte('f').uint16(2).
			byte(1).string("id").uint32(20).uint32(-1).
			byte(0).string("price").uint32(1700).uint32(655366).src},
		{"relation of pg_catalog without columns", newMessage('R').uint32(16403).string("").string("t").byte('n').uint16(0).src},
		{"type", newMessage('Y').uint32(16390).string("public").string("mood").src},
		{"insert", newMessage('I').uint32(16402).tuple('N', row...).src},
		{"insert without columns", newMessage('I').uint32(16402).tuple('N').src},
		{"update", newMessage('U').uint32(16402).tuple('N', row...).src},
		{"update with old key", newMessage('U').uint32(16402).tuple('K', "1", nil, nil).tuple('N', "2", "x", unchanged{}).src},
		{"update with old row", newMessage('U').uint32(16402).tuple('O', row...).tuple('N', row...).src},
		{"delete by key", newMessage('D').uint32(16402).tuple('K', "1", nil).src},
		{"delete of row", newMessage('D').uint32(16402).tuple('O', row...).src},
		{"truncate", newMessage('T').uint32(1).byte(0).uint32(16402).src},
		{"truncate cascade restart identity", newMessage('T').uint32(3).byte(3).uint32(16402).uint32(16403).uint32(0xFFFFFFFF).src},
		{"message", newMessage('M').byte(0).uint64(0x16B374D848).string("walwire").block("content\x00\xff").src},
		{"transactional message without content", newMessage('M').byte(1).uint64(1).string("").block("").src},
	}
}
