package unaryhttp

import (
	"bytes"
	"slices"
	"strconv"

	"golang.org/x/net/http/httpguts"
)

// head is a request's head.
type head struct {
	endpoint Endpoint
	encoding string
	length   int64 // of the body
	size     int   // of the head itself
}

// state says what the beginning of a request is.
type state int

const (
	// partial: the end of the head has not arrived, and nothing speaks against it yet.
	partial state = iota
	// plain: a head that is served here.
	plain
	// foreign: whatever it is, net/http knows better.
	foreign
)

const (
	maxLengthDigits = 18 // no overflow
	version         = " HTTP/1.1"
)

var (
	crlf = []byte("\r\n")
	post = []byte("POST ")
)

// parse reads the head that b begins with. It takes only what has one meaning to everybody: what RFC 9112 leaves to leniency, or what
// bears on anything but this one body, is foreign.
func (s *Server) parse(b []byte) (h head, _ state) {
	if n := min(len(b), len(post)); !bytes.Equal(b[:n], post[:n]) {
		return h, foreign
	}
	first, rest, complete := bytes.Cut(b, crlf)
	if !complete {
		return h, partial
	}
	path, known := bytes.CutSuffix(first[len(post):], []byte(version))
	if h.endpoint = s.cfg.Endpoints[string(path)]; !known || h.endpoint == nil {
		return h, foreign
	}
	f := fields{length: -1}
	for {
		var line []byte
		if line, rest, complete = bytes.Cut(rest, crlf); !complete {
			return h, partial
		}
		if len(line) == 0 {
			break
		}
		if !f.add(line) {
			return h, foreign
		}
	}
	encoding := slices.Index(s.cfg.Encodings, string(f.encoding))
	if !f.host || string(f.contentType) != s.cfg.ContentType || f.length < 0 || f.length > s.cfg.MaxBodyBytes || encoding < 0 {
		return h, foreign
	}
	h.encoding, h.length, h.size = s.cfg.Encodings[encoding], f.length, len(b)-len(rest)
	return h, plain
}

// fields are those of a head that mean something here.
type fields struct {
	host                  bool
	contentType, encoding []byte
	length                int64 // negative: none
	seenEncoding          bool
	seenConnection        bool
}

// add notes a field, and reports whether the head may still be served here.
func (f *fields) add(line []byte) bool {
	name, value, is := bytes.Cut(line, []byte(":"))
	if !is || !isToken(name) || !isPlainText(value) {
		return false
	}
	value = bytes.Trim(value, " ")
	switch {
	case named(name, "content-length"):
		first := f.length < 0
		f.length = parseLength(value)
		return first && f.length >= 0
	case named(name, "content-type"):
		first := f.contentType == nil
		f.contentType = value
		return first
	case named(name, "host"):
		first := !f.host
		f.host = true
		return first && httpguts.ValidHostHeader(string(value))
	case named(name, "content-encoding"):
		first := !f.seenEncoding
		f.seenEncoding, f.encoding = true, value
		return first
	case named(name, "connection"):
		first := !f.seenConnection
		f.seenConnection = true
		return first && named(value, "keep-alive")
	default:
		return !elsewhere(name)
	}
}

// elsewhere reports whether a field asks for what only net/http and the handlers behind it do.
func elsewhere(name []byte) bool {
	return named(name, "transfer-encoding") || named(name, "expect") || named(name, "upgrade") || named(name, "trailer") ||
		named(name, "te") || named(name, "origin")
}

func named(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}

// parseLength returns a length, or a negative number if it is none.
func parseLength(b []byte) int64 {
	if len(b) == 0 || len(b) > maxLengthDigits {
		return -1
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !httpguts.IsTokenRune(rune(c)) {
			return false
		}
	}
	return len(b) > 0
}

// isPlainText reports whether b is printable ASCII: no CR or LF alone, no NUL, no tab, nothing that others may read in another way.
func isPlainText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
