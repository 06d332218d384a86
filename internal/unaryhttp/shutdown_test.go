package unaryhttp

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestShutdownClosesIdleConnectionsAndAnswersTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := New(config(func(ctx context.Context, r Request) Answer {
			<-release
			return echo(ctx, r)
		}))
		idle, within, busy := pipe(s), pipe(s), pipe(s)
		send(t, within, start)
		send(t, busy, request("a"))
		synctest.Wait()
		begun := time.Now()
		var stopping sync.WaitGroup
		stopping.Go(func() { assert.NoError(t, s.Shutdown(t.Context())) })
		for _, c := range []net.Conn{idle, within} {
			_, err := c.Read(make([]byte, 1))
			assert.ErrorIs(t, err, io.EOF)
		}
		assert.Zero(t, time.Since(begun), "they are closed, and do not time out")
		close(release)
		assert.Equal(t, answered{200, "a", true}, receive(t, bufio.NewReader(busy)))
		stopping.Wait()
		assert.ErrorIs(t, s.Serve(&net.TCPListener{}), http.ErrServerClosed)
	})
}

func TestAShutdownWhoseTimeIsUpIsFollowedByClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(config(func(ctx context.Context, _ Request) Answer {
			<-ctx.Done()
			return Answer{Code: http.StatusServiceUnavailable}
		}))
		client := pipe(s)
		send(t, client, request("a"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, s.Shutdown(ctx), context.DeadlineExceeded)
		require.NoError(t, s.Close())
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
	})
}

// A shutdown that comes while an answer is written finds the connection busy, and no other one closes it.
func TestAShutdownWhileAnAnswerIsWrittenEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(config(echo))
		client := pipe(s)
		send(t, client, request("a"))
		synctest.Wait() // the answer is to be read
		begun := time.Now()
		var stopping sync.WaitGroup
		stopping.Go(func() { assert.NoError(t, s.Shutdown(t.Context())) })
		synctest.Wait()
		assert.Equal(t, answered{200, "a", false}, receive(t, bufio.NewReader(client)))
		stopping.Wait()
		assert.Zero(t, time.Since(begun), "it is closed, and does not time out")
	})
}

// A connection that goes to net/http after a shutdown has listed it is not closed in the middle of its request.
func TestAShutdownLeavesToNetHTTPWhatIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := New(config(func(ctx context.Context, r Request) Answer {
			<-release
			return echo(ctx, r)
		}))
		client := serve(s)()
		synctest.Wait()
		listed := s.conns.Stop()
		require.Len(t, listed, 1)
		send(t, client, foreignRequest("{}"))
		synctest.Wait()
		for _, c := range listed {
			c.closeIdle()
		}
		close(release)
		a, err := http.ReadResponse(bufio.NewReader(client), nil)
		if assert.NoError(t, err) {
			assert.Equal(t, "net/http", a.Header.Get("By"))
		}
		require.NoError(t, client.Close())
		require.NoError(t, s.Close())
	})
}
