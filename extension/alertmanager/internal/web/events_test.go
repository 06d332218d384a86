package web

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
)

// pipes is a listener whose connections take nothing that is not read at once.
type pipes struct {
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.UnixAddr{} }

// Whoever stops reading is let go after a while, loses events until then, and holds up neither those who tell nor the end.
func TestAClientThatStopsReadingIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := make(chan struct{})
		s := &Server{Parts: Parts{Bus: &events.Bus{}, Stopping: stopping}}
		listener := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: http.HandlerFunc(s.events)}
		var serving sync.WaitGroup
		serving.Go(func() { assert.ErrorIs(t, server.Serve(listener), http.ErrServerClosed) })
		client, served := net.Pipe()
		listener.accepted <- served
		_, err := client.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		require.NoError(t, err)
		synctest.Wait() // it is told that it is connected, and does not read that
		for range 1000 {
			s.Bus.Publish(events.Event{Kind: events.Firing})
		}
		assert.Equal(t, 1, s.Bus.Stats().Subscribers)
		assert.Positive(t, s.Bus.Stats().Lost)
		time.Sleep(heartbeat + time.Second)
		synctest.Wait()
		assert.Zero(t, s.Bus.Stats().Subscribers)
		close(stopping)
		require.NoError(t, server.Shutdown(t.Context()))
		serving.Wait()
		require.NoError(t, client.Close())
	})
}

func TestOneSubscriberTooManyIsTurnedAway(t *testing.T) {
	s := &Server{Parts: Parts{Bus: &events.Bus{}}}
	for err := error(nil); err == nil; {
		_, err = s.Bus.Subscribe(t.Context())
	}
	answer := httptest.NewRecorder()
	s.events(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	assert.Equal(t, http.StatusServiceUnavailable, answer.Code)
	assert.Contains(t, answer.Body.String(), "subscribers already")
}
