package unaryhttp

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exchange sends bytes, says that no more come, and returns the answers, and how many of them net/http did not give. What an error says of
// the connection is not compared: net/http closes some without a word.
func exchange(t *testing.T, address, sent string) (list []answered, ours int) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, sent)
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	r := bufio.NewReader(c)
	for {
		a, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil {
			return list, ours
		}
		body, err := io.ReadAll(a.Body)
		require.NoError(t, err)
		_, err = http.ParseTime(a.Header.Get("Date"))
		assert.True(t, err == nil || a.StatusCode >= 400, "net/http dates what a handler has answered")
		if a.StatusCode == http.StatusOK && a.Header.Get("By") == "" {
			ours++
		}
		list = append(list, answered{a.StatusCode, string(body), a.Close && a.StatusCode == http.StatusOK})
	}
}

func TestAnswersAreNetHTTPs(t *testing.T) {
	here := listen(t, New(config(echo)))
	there := listen(t, &http.Server{Handler: behind(echo)})
	large := strings.Repeat("x", 300_000)
	for name, c := range map[string]struct {
		sent string
		ours int
	}{
		"one":                   {request("hello"), 1},
		"empty":                 {request(""), 1},
		"large":                 {request(large), 1},
		"one after the other":   {request("a") + request("") + request(large) + request("b"), 4},
		"a line end in between": {request("a") + "\r\n" + request("b"), 2},
		"two in between":        {request("a") + "\r\n\n\r" + request("b") + "\n", 2},
		"too many in between":   {request("a") + "\r\n\r\n\r\n" + request("b"), 1},
		"one before JSON":       {request("a") + "\r\n" + foreignRequest("{}"), 1},
		"a line end at first":   {"\r\n" + request("a"), 0},
		"JSON in between": {
			request("a") + foreignRequest("{}") + request("b"), 1,
		},
		"chunks":                   {start + "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" + request("b"), 0},
		"length and chunks":        {requestWith("Transfer-Encoding: chunked\r\n", "0\r\n\r\n") + request("b"), 0},
		"two lengths":              {requestWith("Content-Length: 3\r\n", "hello"), 0},
		"the last":                 {request("a") + requestWith("Connection: close\r\n", "b") + request("c"), 1},
		"another path":             {strings.Replace(request("a"), "traces", "x", 1), 0},
		"no HTTP":                  {"hello\r\n\r\n", 0},
		"head without an end":      {start + "Host: a\r\n", 0},
		"body without an end":      {requestWith("", "hello")[:len(requestWith("", "hello"))-1], 0},
		"long head":                {requestWith("A: "+strings.Repeat("b", 10_000)+"\r\n", "hello"), 0},
		"head that fills a buffer": {requestWith("A: "+strings.Repeat("b", bufferSize-len(requestWith("A: \r\n", "")))+"\r\n", ""), 1},
	} {
		t.Run(name, func(t *testing.T) {
			want, _ := exchange(t, there, c.sent)
			got, ours := exchange(t, here, c.sent)
			assert.Equal(t, want, got)
			assert.Equal(t, c.ours, ours)
		})
	}
}

func TestConnectionsThatWaitTooLongAreClosed(t *testing.T) {
	for name, c := range map[string]struct {
		sent  string
		after time.Duration
	}{
		"new":           {"", time.Minute},
		"within a head": {start, time.Minute},
		"idle":          {request("a"), time.Hour},
		"within a body": {request("hello")[:len(request("hello"))-1], 2*time.Hour + lingerFor},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config(echo)
				cfg.Fallback.ReadTimeout = 2 * time.Hour
				s := New(cfg)
				client := pipe(s)
				begun := time.Now()
				var reading sync.WaitGroup
				reading.Go(func() { _, _ = io.Copy(io.Discard, client) })
				if c.sent != "" {
					send(t, client, c.sent)
				}
				reading.Wait()
				assert.Equal(t, c.after, time.Since(begun))
				require.NoError(t, s.Close())
			})
		})
	}
}

// The time in which the first byte of a request is to come is over when it has; net/http has no time for heads here.
func TestADeadlineEndsWithTheHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(echo)
		cfg.Fallback.ReadHeaderTimeout = 0
		s := New(cfg)
		client := serve(s)()
		reader := bufio.NewReader(client)
		send(t, client, request("a"))
		assert.Equal(t, answered{200, "a", false}, receive(t, reader))
		send(t, client, "GET / HTTP/1.1\r\n") // is net/http's already
		time.Sleep(2 * cfg.Fallback.IdleTimeout)
		if _, err := io.WriteString(client, "Host: a\r\n\r\n"); assert.NoError(t, err) {
			assert.Equal(t, http.StatusNotFound, receive(t, reader).code)
		}
		require.NoError(t, client.Close())
		require.NoError(t, s.Close())
	})
}

func TestAPanicEndsOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		cfg := config(func(context.Context, Request) Answer { panic("no") })
		cfg.Fallback.ErrorLog = log.New(&logged, "", 0)
		s := New(cfg)
		client := pipe(s)
		_, _ = io.WriteString(client, request("a"))
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		require.NoError(t, s.Close())
		assert.Contains(t, logged.String(), "panic serving")
	})
}

func TestOptionalFieldsOfAnAnswer(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	assert.Equal(t, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: a/b\r\nRetry-After: 7\r\nDate: Fri, 02 Jan 2026 02:04:05 GMT\r\n"+
		"Content-Length: 2\r\nConnection: close\r\n\r\nhi",
		string(appendAnswer(nil, Answer{Code: 503, ContentType: "a/b", RetryAfter: "7", Body: []byte("hi")}, now, true)))
}
