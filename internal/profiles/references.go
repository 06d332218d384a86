package profiles

import (
	"errors"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// Keys and values of attributes may be references to the string table, also nested ones. pdata replaces those of resources and scopes by their
// strings when it decodes, but not in its gRPC server, and nowhere those in values of the attribute table. Nor does it tell of them: such
// a key reads as empty, and such a value as one without a type. They are replaced here by what pdata decodes, as in another dictionary they
// would point to other strings.

var (
	errUnresolved  = errors.New("an attribute has no key, or its key or value refers to a string that is not in string_table")
	errFirstString = errors.New("the first entry of string_table is not the empty string")
)

// resolved returns the profiles with strings in the place of references; without references it returns data itself, and else a copy.
func resolved(data pprofile.Profiles) (pprofile.Profiles, error) {
	s := newSearch()
	if !s.finds(data) {
		return data, nil
	}
	whole := pprofile.NewProfiles()
	data.CopyTo(whole)
	// Encoding makes references of all strings there are, of which pdata takes 0 for none.
	switch texts := whole.Dictionary().StringTable(); {
	case texts.Len() == 0:
		texts.Append("")
	case texts.At(0) != "":
		return data, errFirstString
	}
	// As attributes of a resource, the values of the attribute table are decoded as such.
	lent := whole.ResourceProfiles().AppendEmpty().Resource().Attributes().PutEmptySlice("attribute_table")
	for _, a := range whole.Dictionary().AttributeTable().All() {
		a.Value().MoveTo(lent.AppendEmpty())
	}
	encoded, err := (&pprofile.ProtoMarshaler{}).MarshalProfiles(whole)
	if err != nil {
		return data, err
	}
	if whole, err = (&pprofile.ProtoUnmarshaler{}).UnmarshalProfiles(encoded); err != nil {
		return data, err
	}
	last := whole.ResourceProfiles().At(whole.ResourceProfiles().Len() - 1)
	values, _ := last.Resource().Attributes().Get("attribute_table")
	for i, a := range whole.Dictionary().AttributeTable().All() {
		values.Slice().At(i).MoveTo(a.Value())
	}
	left := whole.ResourceProfiles().Len() - 1
	whole.ResourceProfiles().RemoveIf(func(pprofile.ResourceProfiles) bool { left--; return left < 0 })

	s.replaces = true
	if s.finds(whole) {
		return data, errUnresolved
	}
	return whole, nil
}

// search looks for references.
type search struct {
	// probe encodes a value, which tells what the value does not.
	probe pprofile.Profiles
	// none is the encoded size of the probe with a value that is none.
	none int
	// replaces says that a reference to string 0, the empty one, which decoding leaves, is replaced.
	replaces bool
}

func newSearch() *search {
	s := &search{probe: pprofile.NewProfiles()}
	s.probe.Dictionary().AttributeTable().AppendEmpty()
	s.none = s.size()
	return s
}

func (s *search) size() int { return (&pprofile.ProtoMarshaler{}).ProfilesSize(s.probe) }

// finds reports whether there is a reference in the profiles, or a key that is empty and so may be one.
func (s *search) finds(data pprofile.Profiles) bool {
	for _, a := range data.Dictionary().AttributeTable().All() {
		if s.inValue(a.Value()) {
			return true
		}
	}
	for _, resource := range data.ResourceProfiles().All() {
		if s.inMap(resource.Resource().Attributes()) {
			return true
		}
		for _, scope := range resource.ScopeProfiles().All() {
			if s.inMap(scope.Scope().Attributes()) {
				return true
			}
		}
	}
	return false
}

func (s *search) inMap(m pcommon.Map) bool {
	for key, v := range m.All() {
		if key == "" || s.inValue(v) {
			return true
		}
	}
	return false
}

func (s *search) inValue(v pcommon.Value) bool {
	switch v.Type() {
	case pcommon.ValueTypeEmpty:
		return s.isReference(v)
	case pcommon.ValueTypeMap:
		return s.inMap(v.Map())
	case pcommon.ValueTypeSlice:
		for _, element := range v.Slice().All() {
			if s.inValue(element) {
				return true
			}
		}
	}
	return false
}

// isReference reports whether a value without a type is a reference, which it may have replaced.
func (s *search) isReference(v pcommon.Value) bool {
	v.CopyTo(s.probe.Dictionary().AttributeTable().At(0).Value())
	if s.size() == s.none {
		return false
	}
	if s.replaces {
		// The reference is the last number of the encoding.
		if encoded, err := (&pprofile.ProtoMarshaler{}).MarshalProfiles(s.probe); err == nil && encoded[len(encoded)-1] == 0 {
			v.SetStr("")
			return false
		}
	}
	return true
}
