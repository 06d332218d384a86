package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// client is a plain OTLP/gRPC client: one call, one answer, no queue and no retries.
type client struct {
	ptraceotlp.GRPCClient
}

func newClient(t *testing.T, endpoint string) client {
	t.Helper()
	connection, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(false)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return client{ptraceotlp.NewGRPCClient(connection)}
}

func (c client) send(ctx context.Context, first, count int) error {
	_, err := c.Export(ctx, ptraceotlp.NewExportRequestFromTraces(numberedTraces(first, count)))
	return err
}

// load keeps several clients sending numbered requests until stopped. A request that is refused is sent again with the same
// numbers, as an SDK would, so a number can arrive more than once but none that was acknowledged may be absent.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu           sync.Mutex
	acknowledged []int
	refused      int
}

func startLoad(t *testing.T, endpoint string, clients, items int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for i := range clients {
		c := newClient(t, endpoint)
		l.wg.Go(func() {
			for first := i * 10_000_000; ctx.Err() == nil; {
				call, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				err := c.send(call, first, items)
				done()
				l.record(first, items, err)
				if err != nil {
					select {
					case <-ctx.Done():
					case <-time.After(50 * time.Millisecond): // the client's back-off
					}
					continue
				}
				first += items
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *load) record(first, items int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refused++
		return
	}
	l.acknowledged = append(l.acknowledged, sequence(first, items)...)
}

func (l *load) progress() (acknowledged, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged), l.refused
}

// stop lets the calls under way finish.
func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}
