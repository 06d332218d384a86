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
