package profiles

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"google.golang.org/protobuf/encoding/protowire"
)

func encode(t testing.TB, data pprofile.Profiles) []byte {
	t.Helper()
	encoded, err := (&pprofile.ProtoMarshaler{}).MarshalProfiles(data)
	require.NoError(t, err)
	return encoded
}

// referring returns the profiles with references in resources and scopes, as pdata's gRPC server hands them on: encoding leaves them in what
// it encodes. A change would panic.
func referring(t testing.TB, data pprofile.Profiles) pprofile.Profiles {
	t.Helper()
	_ = encode(t, data)
	_, found := data.ResourceProfiles().At(0).Resource().Attributes().Get("service.name")
	require.False(t, found, "encoding no longer leaves references")
	data.MarkReadOnly()
	return data
}

// withTable returns the profiles with further entries in the attribute table, whose key is string 1 and whose values are references to the
// strings, and with the first sample pointing at them.
func withTable(t testing.TB, data pprofile.Profiles, references ...uint64) pprofile.Profiles {
	t.Helper()
	var dictionary []byte
	for _, reference := range references {
		value := protowire.AppendVarint(protowire.AppendTag(nil, 8, protowire.VarintType), reference) // string_value_strindex
		entry := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)         // key_strindex
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), value)
		dictionary = protowire.AppendBytes(protowire.AppendTag(dictionary, 6, protowire.BytesType), entry) // attribute_table
	}
	encoded := protowire.AppendBytes(protowire.AppendTag(encode(t, data), 2, protowire.BytesType), dictionary)
	data, err := (&pprofile.ProtoUnmarshaler{}).UnmarshalProfiles(encoded)
	require.NoError(t, err)
	last := data.Dictionary().AttributeTable().Len()
	for i := range references {
		firstSample(data).AttributeIndices().Append(int32(last - len(references) + i))
	}
	return data
}

func firstSample(data pprofile.Profiles) pprofile.Sample {
	return data.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().At(0).Samples().At(0)
}

// attributed is a request with strings wherever attributes may have them.
func attributed(t testing.TB, process string) pprofile.Profiles {
	t.Helper()
	data := flame(t, process, 12)
	resource := data.ResourceProfiles().At(0)
	nested := resource.Resource().Attributes().PutEmptyMap("nested")
	nested.PutStr("key of "+process, "value of "+process)
	nested.PutEmptySlice("list").AppendEmpty().SetStr("element of " + process)
	nested.PutEmpty("nothing")
	nested.PutStr("empty", "")
	resource.ScopeProfiles().At(0).Scope().Attributes().PutStr("scope of "+process, process)
	return data
}

func TestReferencesOfResourcesAndScopesMeanTheSameInAnotherDictionary(t *testing.T) {
	joined := of(t, referring(t, attributed(t, "b")))
	joined.Append(of(t, referring(t, attributed(t, "a"))))
	want := append(told(attributed(t, "b")), told(attributed(t, "a"))...)
	assert.Equal(t, want, told(joined.Profiles))
	assert.NotContains(t, joined.Dictionary().StringTable().AsRaw(), "attribute_table")

	head := joined.Cut(15)
	assert.Equal(t, want, append(told(head.Profiles), told(joined.Profiles)...))
}

func TestReferencesOfTheAttributeTableMeanTheSameInAnotherDictionary(t *testing.T) {
	data := flame(t, "a", 3)
	text := func(s string) uint64 {
		index, err := pprofile.SetString(data.Dictionary().StringTable(), s)
		require.NoError(t, err)
		return uint64(index)
	}
	joined := of(t, flame(t, "b", 3))
	joined.Append(of(t, referring(t, withTable(t, data, text("libc.so"), text("main.go"), 0))))

	whole := joined.Copy(1, 2)
	indices, table := firstSample(whole.Profiles).AttributeIndices(), whole.Dictionary().AttributeTable()
	var got []string
	for _, index := range indices.All() {
		a := table.At(int(index))
		if whole.Dictionary().StringTable().At(int(a.KeyStrindex())) == "an orphan of a" {
			require.Equal(t, pcommon.ValueTypeStr, a.Value().Type())
			got = append(got, a.Value().Str())
		}
	}
	assert.Equal(t, []string{"libc.so", "main.go", ""}, got)
}

func TestAttributesThatReferToNoStringAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		data pprofile.Profiles
		want error
	}{
		"a value of the table": {withTable(t, flame(t, "a", 3), 9999), errUnresolved},
		"a negative one":       {withTable(t, flame(t, "a", 3), 1<<64-1), errUnresolved},
		"a key": {func() pprofile.Profiles {
			data := flame(t, "a", 3)
			data.ResourceProfiles().At(0).Resource().Attributes().PutStr("", "of nothing")
			return data
		}(), errUnresolved},
		"string 0, which is not empty": {func() pprofile.Profiles {
			data := withTable(t, flame(t, "a", 3), 2)
			data.Dictionary().StringTable().SetAt(0, "service.name")
			return data
		}(), errFirstString},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Of(c.data)
			require.ErrorIs(t, err, c.want)
		})
	}
}
