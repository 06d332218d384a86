// Package profiles joins and divides profiles, whose samples point into one dictionary for each request.
//
// The dictionary of what is joined holds every entry once, and nothing that no sample, profile or entry points at. pprofile.Profiles.MergeTo does the
// same by comparing each entry with every other: 640 ms for two requests of 3,000 stacks, against 15 ms here (go test -bench Join).
package profiles

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// Set is profiles with one dictionary. It belongs to one goroutine at a time.
type Set struct {
	pprofile.Profiles
	// index is that of the dictionary, only while sets are appended: it is larger than what it indexes.
	index *dictionary
}

// New returns an empty set.
func New() *Set {
	data := pprofile.NewProfiles()
	return &Set{Profiles: data, index: newDictionary(data.Dictionary())}
}

// Of returns a copy of the profiles, with strings where their attributes refer to strings. An error names the reference that points to
// nothing.
func Of(data pprofile.Profiles) (*Set, error) {
	s := New()
	data, err := resolved(data)
	if err == nil {
		err = s.add(data, 0, data.ResourceProfiles().Len())
	}
	s.index = nil
	return s, err
}

// Append adds the resources of the other set, which stays as it is.
func (s *Set) Append(other *Set) {
	if s.index == nil {
		whole := New()
		whole.Append(s)
		*s = *whole
	}
	s.mustAdd(other.Profiles, 0, other.ResourceProfiles().Len())
}

// Copy returns a copy of the resources [from, to).
func (s *Set) Copy(from, to int) *Set { return copyOf(s.Profiles, from, to) }

func copyOf(data pprofile.Profiles, from, to int) *Set {
	out := New()
	out.mustAdd(data, from, to)
	out.index = nil
	return out
}

// Cut moves the first n samples to a new set, with copies of what they are part of.
func (s *Set) Cut(n int) *Set {
	head := pprofile.NewProfiles()
	s.Dictionary().CopyTo(head.Dictionary())
	cut(s.Profiles, head, n)
	*s = *s.Copy(0, s.ResourceProfiles().Len()) // without what only the head points at
	return copyOf(head, 0, head.ResourceProfiles().Len())
}

// mustAdd is for what has been added to a set before, so that every reference has been looked at.
func (s *Set) mustAdd(data pprofile.Profiles, from, to int) {
	if err := s.add(data, from, to); err != nil {
		panic(err)
	}
}

func (s *Set) add(data pprofile.Profiles, from, to int) error {
	t := newTranslation(data.Dictionary(), s.index)
	s.ResourceProfiles().EnsureCapacity(s.ResourceProfiles().Len() + to - from)
	for i := from; i < to; i++ {
		resource := s.ResourceProfiles().AppendEmpty()
		data.ResourceProfiles().At(i).CopyTo(resource)
		for j, scope := range resource.ScopeProfiles().All() {
			for k, profile := range scope.Profiles().All() {
				t.profile(profile)
				if t.err != nil {
					return fmt.Errorf("resource %d, scope %d, profile %d: %w", i, j, k, t.err)
				}
			}
		}
	}
	return nil
}

// profile makes a profile that points into the source's dictionary point into the set's.
func (t *translation) profile(p pprofile.Profile) {
	t.valueType(p.SampleType())
	t.valueType(p.PeriodType())
	t.list(p.AttributeIndices(), t.attribute)
	for _, sample := range p.Samples().All() {
		sample.SetStackIndex(t.one(t.stacks, sample.StackIndex(), t.stack))
		sample.SetLinkIndex(t.one(t.links, sample.LinkIndex(), t.link))
		t.list(sample.AttributeIndices(), t.attribute)
	}
}

func (t *translation) valueType(v pprofile.ValueType) {
	v.SetTypeStrindex(t.text(v.TypeStrindex()))
	v.SetUnitStrindex(t.text(v.UnitStrindex()))
}

// cut moves the first n samples from one to the other, which have the same dictionary.
func cut(from, to pprofile.Profiles, n int) {
	from.ResourceProfiles().RemoveIf(func(resource pprofile.ResourceProfiles) bool {
		if n == 0 {
			return false
		}
		out := to.ResourceProfiles().AppendEmpty()
		if count := samplesOf(resource); count <= n {
			n -= count
			resource.MoveTo(out)
			return true
		}
		resource.Resource().CopyTo(out.Resource())
		out.SetSchemaUrl(resource.SchemaUrl())
		n = cutScopes(resource.ScopeProfiles(), out.ScopeProfiles(), n)
		return false
	})
}

func cutScopes(from, to pprofile.ScopeProfilesSlice, n int) (rest int) {
	from.RemoveIf(func(scope pprofile.ScopeProfiles) bool {
		if n == 0 {
			return false
		}
		out := to.AppendEmpty()
		if count := samplesIn(scope); count <= n {
			n -= count
			scope.MoveTo(out)
			return true
		}
		scope.Scope().CopyTo(out.Scope())
		out.SetSchemaUrl(scope.SchemaUrl())
		n = cutProfiles(scope.Profiles(), out.Profiles(), n)
		return false
	})
	return n
}

func cutProfiles(from, to pprofile.ProfilesSlice, n int) (rest int) {
	from.RemoveIf(func(profile pprofile.Profile) bool {
		if n == 0 {
			return false
		}
		out := to.AppendEmpty()
		if count := profile.Samples().Len(); count <= n {
			n -= count
			profile.MoveTo(out)
			return true
		}
		all := pprofile.NewSampleSlice()
		profile.Samples().MoveAndAppendTo(all)
		profile.CopyTo(out)
		all.RemoveIf(func(sample pprofile.Sample) bool {
			if n == 0 {
				return false
			}
			n--
			sample.MoveTo(out.Samples().AppendEmpty())
			return true
		})
		all.MoveAndAppendTo(profile.Samples())
		return false
	})
	return n
}

func samplesOf(resource pprofile.ResourceProfiles) (n int) {
	for _, scope := range resource.ScopeProfiles().All() {
		n += samplesIn(scope)
	}
	return n
}

func samplesIn(scope pprofile.ScopeProfiles) (n int) {
	for _, profile := range scope.Profiles().All() {
		n += profile.Samples().Len()
	}
	return n
}

// list translates each entry of a list.
func (t *translation) list(indices pcommon.Int32Slice, of func(int32) int32) {
	for i, index := range indices.All() {
		indices.SetAt(i, of(index))
	}
}
