package profiles

import (
	"encoding/binary"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// dictionary is a set's, with what finds its entries again. Entry 0 of each table is the zero value, which stands for "none".
// (opentelemetry/proto/profiles/v1development/profiles.proto, ProfilesDictionary)
type dictionary struct {
	pprofile.ProfilesDictionary
	texts     map[string]int32
	functions map[function]int32
	links     map[link]int32
	// The keys of these are their numbers, one after the other (see key).
	mappings, locations, stacks map[string]int32
	// Values are no keys of a map: attributes with the same names and the same text are compared.
	attributes map[attribute][]int32
}

type function struct {
	name, systemName, file int32
	startLine              int64
}

type link struct {
	trace pcommon.TraceID
	span  pcommon.SpanID
}

type attribute struct {
	name, unit int32
	kind       pcommon.ValueType
	text       string
}

// newDictionary takes an empty dictionary.
func newDictionary(d pprofile.ProfilesDictionary) *dictionary {
	d.StringTable().Append("")
	d.FunctionTable().AppendEmpty()
	d.LinkTable().AppendEmpty()
	d.MappingTable().AppendEmpty()
	d.LocationTable().AppendEmpty()
	d.StackTable().AppendEmpty()
	d.AttributeTable().AppendEmpty()
	return &dictionary{
		ProfilesDictionary: d, texts: map[string]int32{"": 0}, functions: map[function]int32{{}: 0}, links: map[link]int32{{}: 0},
		mappings: map[string]int32{zeros(5): 0}, locations: map[string]int32{zeros(3): 0}, stacks: map[string]int32{zeros(1): 0},
		attributes: map[attribute][]int32{{}: {0}},
	}
}

// zeros is the key of an entry whose numbers are all 0.
func zeros(n int) string { return string(make([]byte, n)) }

// translation carries entries of a source's dictionary over to another one, those that are asked for. It keeps the first error.
type translation struct {
	source pprofile.ProfilesDictionary
	to     *dictionary
	err    error
	buffer []byte
	// What has been carried over, plus one: 0 stands for what has not.
	texts, functions, links, mappings, locations, stacks, attributes table
}

// table is one of the dictionary's, as the translation sees it.
type table struct {
	name string
	at   []int32
}

func newTranslation(source pprofile.ProfilesDictionary, to *dictionary) *translation {
	return &translation{
		source: source, to: to,
		texts:      table{"string_table", make([]int32, source.StringTable().Len())},
		functions:  table{"function_table", make([]int32, source.FunctionTable().Len())},
		links:      table{"link_table", make([]int32, source.LinkTable().Len())},
		mappings:   table{"mapping_table", make([]int32, source.MappingTable().Len())},
		locations:  table{"location_table", make([]int32, source.LocationTable().Len())},
		stacks:     table{"stack_table", make([]int32, source.StackTable().Len())},
		attributes: table{"attribute_table", make([]int32, source.AttributeTable().Len())},
	}
}

// one translates a reference of which 0 stands for "none", also where the sender left the table empty.
func (t *translation) one(in table, index int32, carry func(int32) int32) int32 {
	if index == 0 {
		return 0
	}
	return t.entry(in, index, carry)
}

// entry translates a reference. carry finds or appends the entry.
func (t *translation) entry(in table, index int32, carry func(int32) int32) int32 {
	if index < 0 || int(index) >= len(in.at) {
		if t.err == nil {
			t.err = fmt.Errorf("there is no entry %d in %s, which has %d", index, in.name, len(in.at))
		}
		return 0
	}
	if in.at[index] == 0 {
		in.at[index] = carry(index) + 1
	}
	return in.at[index] - 1
}

func (t *translation) text(index int32) int32 {
	return t.one(t.texts, index, func(index int32) int32 {
		text := t.source.StringTable().At(int(index))
		return find(t.to.texts, text, func() int {
			t.to.StringTable().Append(text)
			return t.to.StringTable().Len()
		})
	})
}

func (t *translation) function(index int32) int32 {
	f := t.source.FunctionTable().At(int(index))
	carried := function{t.text(f.NameStrindex()), t.text(f.SystemNameStrindex()), t.text(f.FilenameStrindex()), f.StartLine()}
	return find(t.to.functions, carried, func() int {
		out := t.to.FunctionTable().AppendEmpty()
		out.SetNameStrindex(carried.name)
		out.SetSystemNameStrindex(carried.systemName)
		out.SetFilenameStrindex(carried.file)
		out.SetStartLine(carried.startLine)
		return t.to.FunctionTable().Len()
	})
}

func (t *translation) link(index int32) int32 {
	l := t.source.LinkTable().At(int(index))
	return find(t.to.links, link{l.TraceID(), l.SpanID()}, func() int {
		l.CopyTo(t.to.LinkTable().AppendEmpty())
		return t.to.LinkTable().Len()
	})
}

func (t *translation) attribute(index int32) int32 {
	return t.entry(t.attributes, index, func(index int32) int32 {
		a := t.source.AttributeTable().At(int(index))
		carried := attribute{t.text(a.KeyStrindex()), t.text(a.UnitStrindex()), a.Value().Type(), a.Value().AsString()}
		for _, candidate := range t.to.attributes[carried] {
			if t.to.AttributeTable().At(int(candidate)).Value().Equal(a.Value()) {
				return candidate
			}
		}
		out := t.to.AttributeTable().AppendEmpty()
		out.SetKeyStrindex(carried.name)
		out.SetUnitStrindex(carried.unit)
		a.Value().CopyTo(out.Value())
		at := int32(t.to.AttributeTable().Len() - 1)
		t.to.attributes[carried] = append(t.to.attributes[carried], at)
		return at
	})
}

func (t *translation) mapping(index int32) int32 {
	out := pprofile.NewMapping()
	t.source.MappingTable().At(int(index)).CopyTo(out)
	out.SetFilenameStrindex(t.text(out.FilenameStrindex()))
	t.list(out.AttributeIndices(), t.attribute)
	key := t.key(out.AttributeIndices(), out.MemoryStart(), out.MemoryLimit(), out.FileOffset(), uint64(out.FilenameStrindex()))
	return find(t.to.mappings, key, func() int {
		out.MoveTo(t.to.MappingTable().AppendEmpty())
		return t.to.MappingTable().Len()
	})
}

func (t *translation) location(index int32) int32 {
	return t.entry(t.locations, index, func(index int32) int32 {
		out := pprofile.NewLocation()
		t.source.LocationTable().At(int(index)).CopyTo(out)
		out.SetMappingIndex(t.one(t.mappings, out.MappingIndex(), t.mapping))
		t.list(out.AttributeIndices(), t.attribute)
		numbers := []uint64{uint64(out.MappingIndex()), out.Address()}
		for _, line := range out.Lines().All() {
			line.SetFunctionIndex(t.one(t.functions, line.FunctionIndex(), t.function))
			numbers = append(numbers, uint64(line.FunctionIndex()), uint64(line.Line()), uint64(line.Column()))
		}
		return find(t.to.locations, t.key(out.AttributeIndices(), numbers...), func() int {
			out.MoveTo(t.to.LocationTable().AppendEmpty())
			return t.to.LocationTable().Len()
		})
	})
}

func (t *translation) stack(index int32) int32 {
	out := pprofile.NewStack()
	t.source.StackTable().At(int(index)).CopyTo(out)
	t.list(out.LocationIndices(), t.location)
	return find(t.to.stacks, t.key(out.LocationIndices()), func() int {
		out.MoveTo(t.to.StackTable().AppendEmpty())
		return t.to.StackTable().Len()
	})
}

// key makes a list with its length and further numbers a key, which no other list and numbers have.
func (t *translation) key(list pcommon.Int32Slice, numbers ...uint64) string {
	b := binary.AppendUvarint(t.buffer[:0], uint64(list.Len()))
	for _, n := range list.All() {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	t.buffer = b
	return string(b)
}

// find returns where the entry is in its table, to which grow appends it if need be; grow returns the table's new length.
func find[K comparable](in map[K]int32, key K, grow func() int) int32 {
	at, ok := in[key]
	if !ok {
		at = int32(grow() - 1)
		in[key] = at
	}
	return at
}
