package unaryhttp

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAClientThatGoesAwayEndsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		s := New(config(func(ctx context.Context, r Request) Answer {
			_, _ = io.Copy(io.Discard, r.Body)
			<-ctx.Done()
			close(ended)
			return Answer{Code: http.StatusServiceUnavailable}
		}))
		client := pipe(s)
		send(t, client, request("hello"))
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("the client is there")
		default:
		}
		require.NoError(t, client.Close())
		<-ended
		require.NoError(t, s.Close())
	})
}

// The byte that is read while the first request is handled is the second's.
func TestRequestsFollowOneThatTookLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(config(func(ctx context.Context, r Request) Answer {
			a := echo(ctx, r)
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
				a.Code = http.StatusServiceUnavailable
			}
			return a
		}))
		client := pipe(s)
		reader := bufio.NewReader(client)
		send(t, client, request("a"))
		assert.Equal(t, answered{200, "a", false}, receive(t, reader), "nobody sent the next one")
		send(t, client, request("b"))
		time.Sleep(time.Second)
		var sending sync.WaitGroup
		sending.Go(func() { send(t, client, request("c")) })
		assert.Equal(t, answered{200, "b", false}, receive(t, reader))
		assert.Equal(t, answered{200, "c", false}, receive(t, reader))
		sending.Wait()
		require.NoError(t, client.Close())
		require.NoError(t, s.Close())
	})
}

// A timer that was late for the request before reads for this one, and then this one's own comes.
func TestALateTimerLosesNoByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *Server
		s = New(config(func(ctx context.Context, r Request) Answer {
			a := echo(ctx, r)
			go only(s).watchClient()
			time.Sleep(2 * watchAfter)
			return a
		}))
		client := serve(s)()
		reader := bufio.NewReader(client)
		send(t, client, request("a"))
		var sending sync.WaitGroup
		sending.Go(func() { send(t, client, request("b")) })
		assert.Equal(t, answered{200, "a", false}, receive(t, reader))
		assert.Equal(t, answered{200, "b", false}, receive(t, reader))
		sending.Wait()
		require.NoError(t, client.Close())
		require.NoError(t, s.Close())
	})
}

// only returns a server's one connection.
func only(s *Server) *conn { return s.conns.All()[0] }

// An endpoint may break off reading when there is nothing left to read; its client is there.
func TestADeadlineIsNoClientThatWentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(config(func(ctx context.Context, r Request) Answer {
			a := echo(ctx, r)
			time.Sleep(2 * watchAfter) // the connection is read
			_ = r.SetReadDeadline(time.Now())
			time.Sleep(watchAfter)
			if ctx.Err() != nil {
				a.Code = http.StatusServiceUnavailable
			}
			return a
		}))
		client := pipe(s)
		reader := bufio.NewReader(client)
		for _, body := range []string{"a", "b"} {
			send(t, client, request(body))
			assert.Equal(t, answered{200, body, false}, receive(t, reader))
		}
		require.NoError(t, client.Close())
		require.NoError(t, s.Close())
	})
}
