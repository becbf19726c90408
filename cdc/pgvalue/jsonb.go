package pgvalue

// appendJSONBKey appends jsonb's text with every number in its one canonical
// form. The rest of the text is canonical already: jsonb prints the keys of an
// object in stored order and without duplicates, and escapes in one way.
func appendJSONBKey(dst, text []byte) ([]byte, bool) {
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"':
			end := stringEnd(text, i+1)
			dst = append(dst, text[i:end]...)
			i = end
		case c == '-' || isDigit(c):
			end := i + 1
			for end < len(text) && isNumberByte(text[end]) {
				end++
			}
			d, ok := scanDecimal(text[i:end])
			if !ok {
				return dst, false
			}
			dst = d.appendText(dst)
			i = end
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst, len(text) > 0
}

// stringEnd gives the index after the closing quote of a JSON string whose
// content starts at i.
func stringEnd(text []byte, i int) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func isNumberByte(c byte) bool {
	return isDigit(c) || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}
