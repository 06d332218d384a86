package unaryhttp

import (
	"net/http"
	"strconv"
	"time"
)

// appendAnswer appends an answer with the fields that net/http gives it.
func appendAnswer(b []byte, a Answer, now time.Time, last bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.Code), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(a.Code)...)
	b = append(b, "\r\nContent-Type: "...)
	b = append(b, a.ContentType...)
	if a.RetryAfter != "" {
		b = append(b, "\r\nRetry-After: "...)
		b = append(b, a.RetryAfter...)
	}
	b = append(b, "\r\nDate: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(a.Body)), 10)
	if last {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\n\r\n"...)
	return append(b, a.Body...)
}
