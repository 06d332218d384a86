package adaptivebatch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/processor/xprocessor"
	"google.golang.org/grpc/codes"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

// sampled makes n samples of a process, each in a function of its own name.
func sampled(t *testing.T, process string, n int) pprofile.Profiles {
	t.Helper()
	pd := pprofile.NewProfiles()
	d := pd.Dictionary()
	d.StringTable().Append("")
	d.FunctionTable().AppendEmpty()
	d.LocationTable().AppendEmpty()
	d.StackTable().AppendEmpty()
	resource := pd.ResourceProfiles().AppendEmpty()
	resource.Resource().Attributes().PutStr("process", process)
	samples := resource.ScopeProfiles().AppendEmpty().Profiles().AppendEmpty().Samples()
	for i := range n {
		d.StringTable().Append(fmt.Sprint(process, i))
		at := int32(i + 1)
		d.FunctionTable().AppendEmpty().SetNameStrindex(at)
		d.LocationTable().AppendEmpty().Lines().AppendEmpty().SetFunctionIndex(at)
		d.StackTable().AppendEmpty().LocationIndices().Append(at)
		samples.AppendEmpty().SetStackIndex(at)
	}
	return pd
}

// functionsOf returns the process and the function of each sample.
func functionsOf(pd pprofile.Profiles) (found []string) {
	d := pd.Dictionary()
	for _, resource := range pd.ResourceProfiles().All() {
		process, _ := resource.Resource().Attributes().Get("process")
		for _, scope := range resource.ScopeProfiles().All() {
			for _, profile := range scope.Profiles().All() {
				for _, sample := range profile.Samples().All() {
					location := d.LocationTable().At(int(d.StackTable().At(int(sample.StackIndex())).LocationIndices().At(0)))
					function := d.FunctionTable().At(int(location.Lines().At(0).FunctionIndex()))
					found = append(found, process.AsString()+" "+d.StringTable().At(int(function.NameStrindex())))
				}
			}
		}
	}
	return found
}

// profilesBackend encodes what it gets, as exporters do, and keeps what it took.
type profilesBackend struct {
	mutates bool
	refuse  string // requests with this function

	mu       sync.Mutex
	requests [][]string
}

func (b *profilesBackend) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: b.mutates}
}

func (b *profilesBackend) ConsumeProfiles(_ context.Context, pd pprofile.Profiles) error {
	time.Sleep(roundTrip)
	encoded, err := (&pprofile.ProtoMarshaler{}).MarshalProfiles(pd)
	if err != nil {
		return err
	}
	if b.mutates {
		pd.ResourceProfiles().RemoveIf(func(pprofile.ResourceProfiles) bool { return true })
	}
	received, err := (&pprofile.ProtoUnmarshaler{}).UnmarshalProfiles(encoded)
	if err != nil {
		return err
	}
	found := functionsOf(received)
	if slices.Contains(found, b.refuse) {
		return permanent(codes.InvalidArgument)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, found)
	return nil
}

func startProfiles(t *testing.T, next *profilesBackend, configure func(*Config)) *profilesProcessor {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	configure(cfg)
	p, err := NewFactory().(xprocessor.Factory).CreateProfiles(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Shutdown(context.Background())) })
	return p.(*profilesProcessor)
}

func goConsume(p *profilesProcessor, pd pprofile.Profiles) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- p.ConsumeProfiles(context.Background(), pd) }()
	synctest.Wait()
	return answer
}

func TestProfilesAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &profilesBackend{}
		p := startProfiles(t, next, fixed(20))
		a, b := sampled(t, "a", 10), sampled(t, "b", 10)
		answers := []<-chan error{goConsume(p, a), goConsume(p, b)}
		require.NoError(t, <-answers[0])
		require.NoError(t, <-answers[1])
		assert.Equal(t, [][]string{append(functionsOf(a), functionsOf(b)...)}, next.requests)
		require.NoError(t, p.ConsumeProfiles(t.Context(), a), "the caller's are as they were")
		assert.Equal(t, functionsOf(a), next.requests[1])
	})
}

func TestProfilesAreSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &profilesBackend{}
		p := startProfiles(t, next, all(fixed(10), func(cfg *Config) { cfg.SendBatchMaxSize = 10 }))
		a := sampled(t, "a", 25)
		require.NoError(t, p.ConsumeProfiles(t.Context(), a))
		require.Len(t, next.requests, 3)
		assert.ElementsMatch(t, functionsOf(a), slices.Concat(next.requests...))
	})
}

func TestInvalidProfilesAreRefusedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &profilesBackend{}
		p := startProfiles(t, next, fixed(20))
		spoilt := sampled(t, "spoilt", 10)
		spoilt.Dictionary().StackTable().At(3).LocationIndices().SetAt(0, 77)
		good := []<-chan error{goConsume(p, sampled(t, "a", 10))}
		err := p.ConsumeProfiles(t.Context(), spoilt)
		require.EqualError(t, err, "Permanent error: invalid profiles: resource 0, scope 0, profile 0: there is no entry 77 in location_table, which has 11")
		require.True(t, consumererror.IsPermanent(err))
		good = append(good, goConsume(p, sampled(t, "b", 10)))
		require.NoError(t, <-good[0])
		require.NoError(t, <-good[1])
		require.Len(t, next.requests, 1)
	})
}

func TestRefusedProfilesFailAlone(t *testing.T) {
	for _, mutates := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			next := &profilesBackend{refuse: "b b3", mutates: mutates}
			p := startProfiles(t, next, fixed(30))
			var answers []<-chan error
			for _, process := range []string{"a", "b", "c"} {
				answers = append(answers, goConsume(p, sampled(t, process, 10)))
			}
			require.NoError(t, <-answers[0])
			require.Error(t, <-answers[1])
			require.NoError(t, <-answers[2])
			assert.ElementsMatch(t, append(functionsOf(sampled(t, "a", 10)), functionsOf(sampled(t, "c", 10))...), slices.Concat(next.requests...))
		})
	}
}
