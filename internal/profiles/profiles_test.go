package profiles

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// flame makes a request of one process: n samples, each with a stack of its own over functions that all processes have. Every field is set.
func flame(t testing.TB, process string, n int) pprofile.Profiles {
	t.Helper()
	data := pprofile.NewProfiles()
	d := data.Dictionary()
	d.MappingTable().AppendEmpty()
	d.LocationTable().AppendEmpty()
	d.FunctionTable().AppendEmpty()
	d.LinkTable().AppendEmpty()
	d.AttributeTable().AppendEmpty()
	d.StackTable().AppendEmpty()
	d.StringTable().Append("", "an orphan of "+process)
	text := func(s string) int32 {
		index, err := pprofile.SetString(d.StringTable(), s)
		require.NoError(t, err)
		return index
	}
	attribute := func(name string, set func(pcommon.Value)) int32 {
		a := d.AttributeTable().AppendEmpty()
		a.SetKeyStrindex(text(name))
		a.SetUnitStrindex(text("unit of " + name))
		set(a.Value())
		return int32(d.AttributeTable().Len() - 1)
	}
	own := attribute("process", func(v pcommon.Value) { v.SetStr(process) })
	number := attribute("same", func(v pcommon.Value) { v.SetInt(1) })
	same := attribute("same", func(v pcommon.Value) { v.SetStr("1") })
	resource := data.ResourceProfiles().AppendEmpty()
	resource.SetSchemaUrl("schema of the resource")
	resource.Resource().Attributes().PutStr("service.name", process)
	scope := resource.ScopeProfiles().AppendEmpty()
	scope.SetSchemaUrl("schema of the scope")
	scope.Scope().SetName("profiler")
	var p pprofile.Profile
	for i := range n {
		if i%10 == 0 {
			p = scope.Profiles().AppendEmpty()
			p.SetProfileID([16]byte{byte(i)})
			p.SetTime(pcommon.Timestamp(i))
			p.SetPeriod(7)
			p.SetOriginalPayloadFormat("pprof")
			p.SampleType().SetTypeStrindex(text("cpu"))
			p.SampleType().SetUnitStrindex(text("nanoseconds"))
			p.PeriodType().SetTypeStrindex(text("period"))
			p.AttributeIndices().Append(own)
		}
		m := d.MappingTable().AppendEmpty()
		m.SetMemoryStart(1 << 40)
		m.SetFilenameStrindex(text("libc.so"))
		m.AttributeIndices().Append(same)
		f := d.FunctionTable().AppendEmpty()
		f.SetNameStrindex(text(fmt.Sprintf("function %d", i)))
		f.SetFilenameStrindex(text("main.go"))
		f.SetSystemNameStrindex(text(fmt.Sprintf("system %d", i)))
		f.SetStartLine(int64(i))
		l := d.LocationTable().AppendEmpty()
		l.SetAddress(uint64(i))
		l.SetMappingIndex(int32(d.MappingTable().Len() - 1))
		l.AttributeIndices().Append(number)
		line := l.Lines().AppendEmpty()
		line.SetFunctionIndex(int32(d.FunctionTable().Len() - 1))
		line.SetLine(int64(i))
		line.SetColumn(3)
		stack := d.StackTable().AppendEmpty()
		for frame := int32(d.LocationTable().Len() - 1); frame > 0 && frame > int32(i-20); frame-- {
			stack.LocationIndices().Append(frame)
		}
		k := d.LinkTable().AppendEmpty()
		k.SetTraceID([16]byte{byte(i), 1})
		k.SetSpanID([8]byte{2})
		s := p.Samples().AppendEmpty()
		s.SetStackIndex(int32(d.StackTable().Len() - 1))
		s.SetLinkIndex(int32(d.LinkTable().Len() - 1))
		s.AttributeIndices().Append(own, same)
		s.Values().Append(int64(i))
		s.TimestampsUnixNano().Append(uint64(i))
	}
	return data
}

// told writes every sample out, with all that it points at and is part of.
func told(data pprofile.Profiles) (samples []string) {
	d := data.Dictionary()
	text := func(index int32) string { return d.StringTable().At(int(index)) }
	attributes := func(indices pcommon.Int32Slice) (out string) {
		for _, index := range indices.All() {
			a := d.AttributeTable().At(int(index))
			out += fmt.Sprint(text(a.KeyStrindex()), "=", a.Value().Type(), a.Value().AsString(), text(a.UnitStrindex()), ";")
		}
		return out
	}
	value := func(v pprofile.ValueType) string { return text(v.TypeStrindex()) + text(v.UnitStrindex()) }
	for _, resource := range data.ResourceProfiles().All() {
		for _, scope := range resource.ScopeProfiles().All() {
			for _, p := range scope.Profiles().All() {
				for _, s := range p.Samples().All() {
					out := fmt.Sprint(resource.Resource().Attributes().AsRaw(), resource.SchemaUrl(), scope.Scope().Name(), scope.Scope().Attributes().AsRaw(), scope.SchemaUrl(), p.ProfileID(), p.Time(),
						p.Period(), p.OriginalPayloadFormat(), value(p.SampleType()), value(p.PeriodType()), attributes(p.AttributeIndices()),
						attributes(s.AttributeIndices()), s.Values().AsRaw(), s.TimestampsUnixNano().AsRaw())
					k := d.LinkTable().At(int(s.LinkIndex()))
					out += fmt.Sprint(k.TraceID(), k.SpanID())
					for _, at := range d.StackTable().At(int(s.StackIndex())).LocationIndices().All() {
						l := d.LocationTable().At(int(at))
						m := d.MappingTable().At(int(l.MappingIndex()))
						out += fmt.Sprint(l.Address(), attributes(l.AttributeIndices()), m.MemoryStart(), text(m.FilenameStrindex()), attributes(m.AttributeIndices()))
						for _, line := range l.Lines().All() {
							f := d.FunctionTable().At(int(line.FunctionIndex()))
							out += fmt.Sprint(line.Line(), line.Column(), text(f.NameStrindex()), text(f.SystemNameStrindex()), text(f.FilenameStrindex()), f.StartLine())
						}
					}
					samples = append(samples, out)
				}
			}
		}
	}
	return samples
}

func of(t testing.TB, data pprofile.Profiles) *Set {
	t.Helper()
	s, err := Of(data)
	require.NoError(t, err)
	return s
}

func TestJoinedProfilesTellTheSameAndShareTheirDictionary(t *testing.T) {
	a, b := flame(t, "a", 25), flame(t, "b", 30)
	joined := of(t, a)
	size := func(s *Set) int { return (&pprofile.ProtoMarshaler{}).ProfilesSize(s.Profiles) }
	alone := size(joined) + size(of(t, b))
	joined.Append(of(t, b))
	joined.Append(of(t, flame(t, "c", 0)))
	assert.Equal(t, append(told(a), told(b)...), told(joined.Profiles))
	assert.Equal(t, 3, joined.ResourceProfiles().Len())

	d := joined.Dictionary()
	assert.Equal(t, 1+30, d.FunctionTable().Len(), "functions of both are there once")
	assert.Equal(t, 1+30, d.StackTable().Len())
	assert.Equal(t, 1+30, d.LocationTable().Len())
	assert.Equal(t, 1+30, d.LinkTable().Len())
	assert.Equal(t, 1+1, d.MappingTable().Len())
	assert.Equal(t, 1+4, d.AttributeTable().Len(), "process a and b, 1 and \"1\"")
	assert.NotContains(t, d.StringTable().AsRaw(), "an orphan of a")
	assert.Less(t, size(joined), alone*3/4)

	assert.Equal(t, told(b), told(joined.Copy(1, 2).Profiles))
	assert.Equal(t, 1+3, joined.Copy(1, 2).Dictionary().AttributeTable().Len(), "without the other's")
}

func TestEveryCutKeepsEverySample(t *testing.T) {
	whole := of(t, flame(t, "a", 25))
	whole.Append(of(t, flame(t, "b", 25)))
	want := told(whole.Profiles)
	for n := 1; n < len(want); n++ {
		tail := whole.Copy(0, 2)
		head := tail.Cut(n)
		require.Equal(t, want[:n], told(head.Profiles), n)
		require.Equal(t, want[n:], told(tail.Profiles), n)
		require.LessOrEqual(t, tail.Dictionary().StackTable().Len(), 1+len(want)-n)
	}
}

func TestTheCallersProfilesStayAsTheyAre(t *testing.T) {
	data := flame(t, "a", 25)
	data.MarkReadOnly() // a change would panic
	s := of(t, data)
	s.Append(of(t, flame(t, "b", 5)))
	s.Cut(20)
	require.Len(t, told(data), 25)
}

func TestReferencesToNothingAreNamed(t *testing.T) {
	sample := func(data pprofile.Profiles) pprofile.Sample {
		return data.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().At(0).Samples().At(0)
	}
	for table, spoil := range map[string]func(pprofile.Profiles){
		"stack_table":     func(data pprofile.Profiles) { sample(data).SetStackIndex(99) },
		"link_table":      func(data pprofile.Profiles) { sample(data).SetLinkIndex(99) },
		"attribute_table": func(data pprofile.Profiles) { sample(data).AttributeIndices().SetAt(0, 99) },
		"location_table":  func(data pprofile.Profiles) { data.Dictionary().StackTable().At(1).LocationIndices().SetAt(0, 99) },
		"mapping_table":   func(data pprofile.Profiles) { data.Dictionary().LocationTable().At(1).SetMappingIndex(99) },
		"function_table": func(data pprofile.Profiles) {
			data.Dictionary().LocationTable().At(1).Lines().At(0).SetFunctionIndex(99)
		},
		"string_table": func(data pprofile.Profiles) { data.Dictionary().FunctionTable().At(1).SetNameStrindex(99) },
	} {
		data := flame(t, "a", 3)
		spoil(data)
		_, err := Of(data)
		require.ErrorContains(t, err, "resource 0, scope 0, profile 0: there is no entry 99 in "+table+", which has ")
	}
	data := flame(t, "a", 3)
	sample(data).SetStackIndex(-1)
	_, err := Of(data)
	require.ErrorContains(t, err, "there is no entry -1 in stack_table, which has 4")
}

// FuzzOf holds that no request of a client ends the process, and that what is accepted can be joined and cut.
func FuzzOf(f *testing.F) {
	for _, n := range []int{0, 1, 12} {
		encoded, err := (&pprofile.ProtoMarshaler{}).MarshalProfiles(flame(f, "a", n))
		require.NoError(f, err)
		f.Add(encoded)
	}
	f.Add(encode(f, withTable(f, flame(f, "a", 2), 1, 2, 0, 9999)))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		data, err := (&pprofile.ProtoUnmarshaler{}).UnmarshalProfiles(encoded)
		if err != nil {
			return
		}
		s, err := Of(data)
		if err != nil {
			return
		}
		samples := s.SampleCount()
		require.Equal(t, data.SampleCount(), samples)
		s.Append(of(t, flame(t, "b", 3)))
		require.Equal(t, samples+3, s.SampleCount())
		head := s.Cut(s.SampleCount() / 2)
		require.Equal(t, samples+3, head.SampleCount()+s.SampleCount())
	})
}

// BenchmarkJoin joins two requests of the same program; MergeTo is pdata's.
func BenchmarkJoin(b *testing.B) {
	a, other := flame(b, "a", 3000), flame(b, "b", 3000)
	b.Run("Set", func(b *testing.B) {
		for b.Loop() {
			s := of(b, a)
			s.Append(of(b, other))
		}
	})
	b.Run("MergeTo", func(b *testing.B) {
		for b.Loop() {
			to, from := pprofile.NewProfiles(), pprofile.NewProfiles()
			a.CopyTo(to)
			other.CopyTo(from)
			require.NoError(b, from.MergeTo(to))
		}
	})
}
