package adaptivebatch

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
)

// authData stands for what an authenticator leaves in a client's context.
type authData struct{}

func (authData) GetAttribute(string) any     { return "secret" }
func (authData) GetAttributeNames() []string { return []string{"password"} }

// tenant returns the context of a client's call.
func tenant(ctx context.Context, values ...string) context.Context {
	return client.NewContext(ctx, client.Info{
		Auth:     authData{},
		Metadata: client.NewMetadata(map[string][]string{"tenant": values, "other": {"x"}}),
	})
}

func byTenant(cfg *Config) { cfg.MetadataKeys = []string{"Tenant"} }

func TestMetadataKeysKeepStreamsApart(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(20), byTenant))
		calls := []context.Context{
			tenant(t.Context(), "a"), tenant(t.Context(), "b"), tenant(t.Context(), "a", "b"), tenant(t.Context(), "a+b"),
			tenant(t.Context(), ""), t.Context(),
		}
		var answers []<-chan error
		for round := range 2 {
			for i, ctx := range calls {
				answers = append(answers, u.goSend(ctx, i*100+round*10, 10))
			}
		}
		for _, answer := range answers {
			require.NoError(t, <-answer)
		}
		require.Len(t, next.requests, len(calls))
		for _, spans := range next.requests {
			assert.Len(t, spans, 20)
			assert.Equal(t, spans[0]/100, spans[19]/100, "no batch mixes two combinations")
		}
	})
}

func TestMergedContextCarriesTheMetadataKeysOnly(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, byTenant)
		require.NoError(t, u.send(tenant(t.Context(), "a", "b"), 0, 1))
		info := client.FromContext(next.contexts[0])
		assert.Equal(t, []string{"a", "b"}, info.Metadata.Get("tenant"))
		assert.Nil(t, info.Metadata.Get("other"))
		assert.Nil(t, info.Auth, "no client's credentials serve for another's data")
		assert.Nil(t, info.Addr)
	})
}

func TestWithoutMetadataKeysNothingOfTheClientIsKept(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, nil)
		require.NoError(t, u.send(tenant(t.Context(), "a"), 0, 1))
		assert.Equal(t, client.Info{}, client.FromContext(next.contexts[0]))
	})
}

func TestIdleStreamsMakeRoomForOthers(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(byTenant, func(cfg *Config) { cfg.MetadataCardinalityLimit = 1000 }))
		for i := range 1500 {
			require.NoError(t, u.send(tenant(t.Context(), fmt.Sprint(i)), i, 1))
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		assert.Len(t, u.streams, 1000)
		if path == arrivalKind {
			path = encodedKind
		}
		_, oldest := u.streams[string(path)+"+0."]
		_, newest := u.streams[string(path)+"+1499."]
		assert.False(t, oldest, "the one that was idle longest went first")
		assert.True(t, newest)
		assert.Equal(t, sequence(0, 1500), next.took())
	})
}

func TestTooManyBusyStreamsAreRefused(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		u := start(t, path, &backend{}, all(fixed(10), byTenant, func(cfg *Config) { cfg.MetadataCardinalityLimit = 2 }))
		a, b := u.goSend(tenant(t.Context(), "a"), 0, 1), u.goSend(tenant(t.Context(), "b"), 1, 1)
		requireRefused(t, u.send(tenant(t.Context(), "c"), 2, 1), "metadata_cardinality_limit of 2")
		require.NoError(t, <-a)
		require.NoError(t, <-b)
		require.NoError(t, u.send(tenant(t.Context(), "c"), 2, 10))
		u.requireEmpty()
	})
}
