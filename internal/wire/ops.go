package wire

// wireType is the lower three bits of a tag, https://protobuf.dev/programming-guides/encoding/#structure.
type wireType uint8

const (
	typeVarint     wireType = 0
	typeFixed64    wireType = 1
	typeLen        wireType = 2
	typeStartGroup wireType = 3
	typeEndGroup   wireType = 4
	typeFixed32    wireType = 5
)

// op is what the walk does at a tag: the field's kind, and the type of the message it holds.
type op struct {
	kind    kind
	message message
}

// ops is the schema by message type and tag, for field numbers up to 31, so that a field costs one load. A tag of two
// bytes below 256 ends in the byte 1, and its first byte is its value: both lengths index with their first byte.
var ops = buildOps()

func buildOps() (table [numMessages][256]op) {
	for m := range table {
		for tag := range table[m] {
			table[m][tag] = lookUp(message(m), int32(tag>>3), wireType(tag&7))
		}
	}
	return table
}

// lookUp finds what to do at a field with this number and wire type.
func lookUp(m message, number int32, t wireType) op {
	if number == 0 {
		return op{kind: kindGeneral} // illegal; the general path says so
	}
	f, known := fieldOf(m, number)
	if !known {
		return op{kind: kindUnknown}
	}
	k := f.kind
	switch {
	case k == kindPackedFixed64 && t == typeFixed64:
		k = kindFixed64 // repeated scalars come packed or one by one
	case k == kindPackedVarint && t == typeVarint:
		k = kindVarint
	case t != k.wireType():
		return op{kind: kindWrongType} // without the message: who sees it may take the field for one
	}
	return op{kind: k, message: f.message}
}

func fieldOf(m message, number int32) (field, bool) {
	for _, f := range schema[m] {
		if f.number == number {
			return f, true
		}
	}
	return field{}, false
}

func (k kind) wireType() wireType {
	switch k {
	case kindVarint:
		return typeVarint
	case kindFixed64:
		return typeFixed64
	case kindFixed32:
		return typeFixed32
	default:
		return typeLen
	}
}
