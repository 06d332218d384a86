package unaryhttp

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refusing answers without a look at the body.
func refusing(context.Context, Request) Answer { return Answer{Code: http.StatusServiceUnavailable} }

// halfClosed notes the end of writing, which pipes do not know.
type halfClosed struct {
	net.Conn
	closed bool
}

func (h *halfClosed) CloseWrite() error { h.closed = true; return nil }

func TestALargeBodyIsAnsweredBeforeItIsThere(t *testing.T) {
	whole := request(string(make([]byte, 1<<20)))
	for name, c := range map[string]struct {
		then func(*testing.T, *Server, net.Conn)
		ends time.Duration // after the answer
	}{
		"and the client sends on": {func(t *testing.T, _ *Server, client net.Conn) { send(t, client, whole[1000:500_000]) }, lingerFor},
		"and the rest comes":      {func(t *testing.T, _ *Server, client net.Conn) { send(t, client, whole[1000:]) }, 0},
		"and the server is shut down": {
			func(t *testing.T, s *Server, _ net.Conn) { assert.NoError(t, s.Shutdown(t.Context())) }, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config(refusing)
				cfg.Fallback.ReadTimeout = time.Minute
				s := New(cfg)
				client, theirs := net.Pipe()
				half := &halfClosed{Conn: theirs}
				s.conns.Begin(half)
				begun := time.Now()
				send(t, client, whole[:1000])
				assert.Equal(t, answered{503, "", true}, receive(t, bufio.NewReader(client)))
				assert.Zero(t, time.Since(begun), "nothing is waited for")
				synctest.Wait()
				assert.True(t, half.closed, "nothing more comes, the client is told")
				c.then(t, s, client)
				_, err := client.Read(make([]byte, 1))
				assert.ErrorIs(t, err, io.EOF)
				assert.Equal(t, c.ends, time.Since(begun))
				require.NoError(t, s.Close())
			})
		})
	}
}

// The connection is not reset before the client has read why.
func TestClientsReadWhyALargeBodyIsRefused(t *testing.T) {
	cfg := config(refusing)
	cfg.MaxBodyBytes = 64 << 20
	address := listen(t, New(cfg))
	body := make([]byte, cfg.MaxBodyBytes)
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 20 {
		response, err := client.Post("http://"+address+path, contentType, bytes.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		require.Empty(t, response.Header.Get("By"))
	}
}
