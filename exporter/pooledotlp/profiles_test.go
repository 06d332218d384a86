package pooledotlp

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/processor/xprocessor"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch"
)

// functions counts the samples by process, innermost function, and type.
func functions(pd pprofile.Profiles) map[string]int {
	out := map[string]int{}
	d := pd.Dictionary()
	text := func(i int32) string { return d.StringTable().At(int(i)) }
	for _, rp := range pd.ResourceProfiles().All() {
		process, _ := rp.Resource().Attributes().Get("service.name")
		for _, sp := range rp.ScopeProfiles().All() {
			for _, p := range sp.Profiles().All() {
				for _, s := range p.Samples().All() {
					location := d.LocationTable().At(int(d.StackTable().At(int(s.StackIndex())).LocationIndices().At(0)))
					function := d.FunctionTable().At(int(location.Lines().At(0).FunctionIndex()))
					out[process.Str()+" "+text(function.NameStrindex())+" "+text(p.SampleType().TypeStrindex())]++
				}
			}
		}
	}
	return out
}

func functionsOf(t testing.TB, w *wire.Request) map[string]int {
	t.Helper()
	pd, err := w.Profiles()
	require.NoError(t, err)
	return functions(pd)
}

func pooledProfiles(t testing.TB, pool *bufpool.Pool, process string, n int) *request {
	t.Helper()
	w, err := wire.FromProfiles(samples(process, n), pool)
	require.NoError(t, err)
	return newRequest(w, pool)
}

func TestProfilesAreMergedAndSplitByDecodingThem(t *testing.T) {
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	for name, c := range map[string]struct {
		sizer exporterhelper.RequestSizerType
		limit int
	}{
		"items": {exporterhelper.RequestSizerTypeItems, 120}, "bytes": {exporterhelper.RequestSizerTypeBytes, 3000},
		"no limit": {exporterhelper.RequestSizerTypeItems, 0}, "fewer bytes than one sample": {exporterhelper.RequestSizerTypeBytes, 10},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := pooledProfiles(t, pool, "a", 100), pooledProfiles(t, pool, "b", 250)
			want := functionsOf(t, first.wire)
			for k, n := range functionsOf(t, second.wire) {
				want[k] += n
			}
			batch, err := first.MergeSplit(context.Background(), 0, c.sizer, nil)
			require.NoError(t, err)
			first.release()
			parts, err := batch[0].MergeSplit(context.Background(), c.limit, c.sizer, second)
			require.NoError(t, err)
			second.release()
			got := map[string]int{}
			for _, p := range parts {
				switch {
				case c.limit == 0:
				case c.sizer == exporterhelper.RequestSizerTypeItems:
					assert.LessOrEqual(t, p.ItemsCount(), c.limit)
				case p.ItemsCount() > 1:
					assert.LessOrEqual(t, p.BytesSize(), c.limit)
				}
				for k, n := range functionsOf(t, p.(*request).wire) {
					got[k] += n
				}
				p.(*request).release()
			}
			assert.Equal(t, want, got)
			assert.Zero(t, pool.Stats().InUse, "every buffer is back")
		})
	}
}

// dangling makes profiles that refer to a stack that is not there.
func dangling() pprofile.Profiles {
	pd := samples("c", 3)
	pd.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().At(0).Samples().At(1).SetStackIndex(99)
	return pd
}

func TestProfilesThatReferToNothingAreSentAsTheyAre(t *testing.T) {
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	w, err := wire.FromProfiles(dangling(), pool)
	require.NoError(t, err)
	first, second := newRequest(w, pool), pooledProfiles(t, pool, "a", 5)
	batch, err := first.MergeSplit(context.Background(), 0, exporterhelper.RequestSizerTypeItems, nil)
	require.NoError(t, err)
	first.release()
	parts, err := batch[0].MergeSplit(context.Background(), 2, exporterhelper.RequestSizerTypeItems, second)
	require.NoError(t, err)
	second.release()
	require.Len(t, parts, 2)
	assert.Equal(t, 3, parts[0].ItemsCount())
	assert.Equal(t, 5, parts[1].ItemsCount())
	again, err := parts[0].MergeSplit(context.Background(), 2, exporterhelper.RequestSizerTypeItems, nil)
	require.NoError(t, err)
	require.Len(t, again, 1, "nor can they be divided")
	for _, r := range append(parts, again...) {
		r.(*request).release()
	}
	assert.Zero(t, pool.Stats().InUse)
}

// startProfilesBackend counts what arrives, and refuses requests of more than a number of samples as too large.
func startProfilesBackend(t *testing.T, most int) (url string, arrived *atomic.Int64, requests *atomic.Int64) {
	arrived, requests = &atomic.Int64{}, &atomic.Int64{}
	return startHTTPBackend(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		assert.Equal(t, "/v1development/profiles", r.URL.Path)
		request := pprofileotlp.NewExportRequest()
		assert.NoError(t, request.UnmarshalProto(body))
		n := request.Profiles().SampleCount()
		if n > most {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		arrived.Add(int64(n))
		requests.Add(1)
	}), arrived, requests
}

func TestProfilesGoThroughTheQueue(t *testing.T) {
	for name, c := range map[string]struct {
		queue    map[string]any
		most     int
		requests int64
	}{
		"one by one":            {map[string]any{}, 100, 10},
		"batched":               {map[string]any{"batch": map[string]any{"min_size": 100, "max_size": 100, "flush_timeout": "1h"}}, 100, 1},
		"batched, but too much": {map[string]any{"batch": map[string]any{"min_size": 100, "max_size": 100, "flush_timeout": "1h"}}, 30, 4},
	} {
		t.Run(name, func(t *testing.T) {
			url, arrived, requests := startProfilesBackend(t, c.most)
			e := newProfilesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{
				"endpoint": url, "protocol": "http/protobuf", "compression": "none", "sending_queue": c.queue,
			}))
			require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
			for range 10 {
				require.NoError(t, e.ConsumeProfiles(context.Background(), samples("a", 10)))
			}
			require.NoError(t, e.Shutdown(context.Background()))
			assert.EqualValues(t, 100, arrived.Load())
			assert.Equal(t, c.requests, requests.Load())
			assert.Zero(t, e.(profilesExporter).pooled.Stats().InUse)
		})
	}
}

// Behind adaptivebatch the processor joins them, and divides what is too large by caller.
func TestProfilesGoThroughAdaptivebatch(t *testing.T) {
	for name, c := range map[string]struct {
		most     int
		requests int64
	}{"joined": {100, 1}, "too large together": {10, 10}} {
		t.Run(name, func(t *testing.T) {
			url, arrived, requests := startProfilesBackend(t, c.most)
			e := newProfilesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{
				"endpoint": url, "protocol": "http/protobuf", "compression": "none",
			}))
			startComponent(t, e, componenttest.NewNopHost())
			factory := adaptivebatch.NewFactory().(xprocessor.Factory)
			cfg := factory.CreateDefaultConfig()
			require.NoError(t, confmap.NewFromStringMap(map[string]any{"adaptive": false, "send_batch_size": 100, "timeout": "1h"}).Unmarshal(cfg))
			batch, err := factory.CreateProfiles(context.Background(), processortest.NewNopSettings(factory.Type()), cfg, e)
			require.NoError(t, err)
			startComponent(t, batch, componenttest.NewNopHost())
			var callers sync.WaitGroup
			for range 10 {
				callers.Go(func() { assert.NoError(t, batch.ConsumeProfiles(context.Background(), samples("a", 10))) })
			}
			callers.Wait()
			assert.EqualValues(t, 100, arrived.Load())
			assert.Equal(t, c.requests, requests.Load())
		})
	}
}

func TestProfilesOnDiskAreSentAfterARestart(t *testing.T) {
	disk := &memoryStorage{data: map[string][]byte{}}
	url, arrived, _ := startProfilesBackend(t, 100)
	keys := map[string]any{
		"endpoint": "http://" + freeAddress(t), "protocol": "http/protobuf", "sending_queue": map[string]any{"storage": "file_storage"},
	}
	set := exportertest.NewNopSettings(NewFactory().Type())
	first := newProfilesExporter(t, set, newConfig(t, keys))
	require.NoError(t, first.Start(context.Background(), storageHost(disk)))
	require.NoError(t, first.ConsumeProfiles(context.Background(), samples("a", 10)))
	require.NoError(t, first.Shutdown(context.Background()))

	keys["endpoint"] = url
	second := newProfilesExporter(t, set, newConfig(t, keys))
	require.NoError(t, second.Start(context.Background(), storageHost(disk)))
	require.Eventually(t, func() bool { return arrived.Load() == 10 }, 10*time.Second, time.Millisecond)
	require.NoError(t, second.Shutdown(context.Background()))
}

func TestProfilesNeedAnEndpointOverHTTP(t *testing.T) {
	cfg := newConfig(t, map[string]any{"protocol": "http/protobuf", "logs_endpoint": "http://localhost:1"})
	factory := NewFactory().(xexporter.Factory)
	_, err := factory.CreateProfiles(context.Background(), exportertest.NewNopSettings(factory.Type()), cfg)
	require.EqualError(t, err, "either `endpoint` or `profiles_endpoint` must be specified")
	cfg = newConfig(t, map[string]any{"protocol": "http/protobuf", "profiles_endpoint": "https://custom:8080/v1development/profiles"})
	u, err := cfg.HTTP.signalURL(wire.Profiles)
	require.NoError(t, err)
	assert.Equal(t, "https://custom:8080/v1development/profiles", u.String())
}
