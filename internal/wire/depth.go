package wire

// TooDeep reports whether decoding a message could go deeper than 10,000 levels, whatever its type: everything that could be a message
// is taken for one. pdata decodes by recursion without a bound, and a process whose stack grows to 1 GB ends.
//
// It goes over the bytes once, allocates for deep messages only, and does not say that a message is well-formed.
func TooDeep(b []byte) bool {
	var first [64]int
	ends := append(first[:0], len(b)) // of the messages around pos, outermost first
	for pos := 0; ; {
		for pos == ends[len(ends)-1] {
			if ends = ends[:len(ends)-1]; len(ends) == 0 {
				return false
			}
		}
		end := ends[len(ends)-1]
		next, inner := deeperField(b[:end], pos)
		switch {
		case inner > 0 && len(ends) > maxDepth:
			return true
		case inner > 0:
			ends = append(ends, next+inner)
			pos = next
		case next > 0:
			pos = next
		default:
			pos = end // no message after all; a decoder would have stopped, too
		}
	}
}

// deeperField reads the field at pos. next is where its value ends, or begins if it has inner bytes that could be a message;
// 0 if it is no field. The tags of groups stand alone, as pdata steps over them without going deeper.
func deeperField(b []byte, pos int) (next, inner int) {
	tag, pos := lenientVarint(b, pos)
	if pos == 0 || int32(tag>>3) <= 0 {
		return 0, 0
	}
	switch wireType(tag & 7) {
	case typeVarint:
		_, next = lenientVarint(b, pos)
		return next, 0
	case typeFixed64:
		next = pos + 8
	case typeFixed32:
		next = pos + 4
	case typeStartGroup, typeEndGroup:
		next = pos
	case typeLen:
		length, start := lenientVarint(b, pos)
		if start > 0 && length <= uint64(len(b)-start) {
			return start, int(length)
		}
	}
	if next > len(b) {
		return 0, 0
	}
	return next, 0
}

// lenientVarint returns the varint at pos and where it ends, 0 if it does not end. Bits beyond the 64th are dropped, as pdata does.
func lenientVarint(b []byte, pos int) (value uint64, next int) {
	for shift := 0; shift < 64 && pos < len(b); shift += 7 {
		c := b[pos]
		pos++
		value |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return value, pos
		}
	}
	return 0, 0
}
