package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// heartbeat keeps proxies from closing a quiet stream.
const heartbeat = 20 * time.Second

// events streams what happens as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	subscription, err := s.Bus.Subscribe(ctx)
	if err != nil {
		fail(w, err) // after a stream that ends, a browser would come back at once
		return
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	write := func(format string, args ...any) bool {
		// Each write has its own time instead of the server's for a whole answer; a client that stops reading is let go.
		if control.SetWriteDeadline(time.Now().Add(heartbeat)) != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if !write(": connected\n\n") {
		return
	}
	for {
		select {
		case <-s.Stopping:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !write(": still here\n\n") {
				return
			}
		case e, open := <-subscription:
			if !open {
				return // ctx is done
			}
			content, err := json.Marshal(e)
			if err != nil || !write("event: %s\ndata: %s\n\n", e.Kind, content) {
				return
			}
		}
	}
}
