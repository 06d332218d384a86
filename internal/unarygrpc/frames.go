package unarygrpc

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Headers are written without HPACK's dynamic table: then what answers a call is the same bytes every time.
const (
	status200       = "\x88"     // :status 200 in the static table
	contentTypeName = "\x0f\x10" // a literal that is not indexed, with the name at 31 of the static table
	grpcContentType = "application/grpc"

	// A refusal's headers stay within a frame, and within 8 KiB, which some clients allow all headers together. So grpc-message is cut, as is
	// the message that stands in grpc-status-details-bin once more, and details that are larger are left out.
	maxRefusal     = 7 << 10
	maxMessageText = 4 << 10 // with the percent signs
	maxDetailsText = 1 << 10
	maxDetails     = 4 << 10
)

var (
	answerHeaders  = status200 + contentTypeName + string(rune(len(grpcContentType))) + grpcContentType
	answerTrailers = string(appendField(nil, "grpc-status", "0"))
)

// emptyTable begins a block of headers and says that the dynamic table has no room, https://www.rfc-editor.org/rfc/rfc7541#section-6.3.
const emptyTable = "\x20"

func appendFrame(b []byte, length int, t http2.FrameType, flags http2.Flags, id uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), byte(t), byte(flags))
	return binary.BigEndian.AppendUint32(b, id)
}

// appendAnswer answers a call with a message. Its headers begin with table: emptyTable or nothing.
func appendAnswer(b []byte, id uint32, table string, message []byte) []byte {
	b = appendFrame(b, len(table)+len(answerHeaders), http2.FrameHeaders, http2.FlagHeadersEndHeaders, id)
	b = append(b, table...)
	b = append(b, answerHeaders...)
	b = appendFrame(b, prefixSize+len(message), http2.FrameData, 0, id)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	b = append(b, message...)
	b = appendFrame(b, len(answerTrailers), http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id)
	return append(b, answerTrailers...)
}

// appendRefusal answers a call with a status and without a message. Its headers begin with table: emptyTable or nothing.
func appendRefusal(b []byte, id uint32, table string, httpStatus int, s *status.Status) []byte {
	headers := appendField([]byte(table), ":status", strconv.Itoa(httpStatus))
	headers = appendField(headers, "content-type", grpcContentType)
	headers = appendField(headers, "grpc-status", strconv.Itoa(int(s.Code())))
	if p := s.Proto(); len(p.GetDetails()) > 0 {
		p.Message = cut(strings.ToValidUTF8(p.GetMessage(), "\uFFFD"), maxDetailsText)
		if details, err := proto.Marshal(p); err == nil && len(details) <= maxDetails {
			headers = appendField(headers, "grpc-status-details-bin", base64.RawStdEncoding.EncodeToString(details))
		}
	}
	if s.Message() != "" {
		headers = appendField(headers, "grpc-message", percentEncode(s.Message(), min(maxMessageText, maxRefusal-len(headers))))
	}
	b = appendFrame(b, len(headers), http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id)
	return append(b, headers...)
}

// appendField writes a header as a literal that is not indexed, https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2.
func appendField(b []byte, name, value string) []byte {
	b = append(b, 0)
	b = appendString(b, name)
	return appendString(b, value)
}

// appendString writes a string as it is, after its length in seven bits or more.
func appendString(b []byte, s string) []byte {
	n := len(s)
	if n < 0x7f {
		b = append(b, byte(n))
	} else {
		b = append(b, 0x7f)
		b = binary.AppendUvarint(b, uint64(n-0x7f)) // HPACK's integers continue as protobuf's varints
	}
	return append(b, s...)
}

// percentEncode encodes what may not stand in a header, as gRPC has it. What would be longer than the limit is left out.
func percentEncode(text string, limit int) string {
	const hex = "0123456789ABCDEF"
	var b []byte
	for _, r := range text { // bytes that are no UTF-8 come as U+FFFD
		kept := len(b)
		if r >= ' ' && r <= '~' && r != '%' {
			b = append(b, byte(r))
		} else {
			for _, c := range []byte(string(r)) {
				b = append(b, '%', hex[c>>4], hex[c&15])
			}
		}
		if len(b) > limit {
			return string(b[:kept])
		}
	}
	return string(b)
}

// cut shortens a text to so many bytes, at the border of a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

func appendSettings(b []byte, maxStreams uint32) []byte {
	var s []byte
	add := func(id http2.SettingID, value uint32) {
		s = binary.BigEndian.AppendUint16(s, uint16(id))
		s = binary.BigEndian.AppendUint32(s, value)
	}
	add(http2.SettingInitialWindowSize, window)
	add(http2.SettingMaxHeaderListSize, maxHeaderList)
	if maxStreams > 0 {
		add(http2.SettingMaxConcurrentStreams, maxStreams)
	}
	return append(appendFrame(b, len(s), http2.FrameSettings, 0, 0), s...)
}

func appendSettingsAck(b []byte) []byte {
	return appendFrame(b, 0, http2.FrameSettings, http2.FlagSettingsAck, 0)
}

func appendWindowUpdate(b []byte, id uint32, increment int) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, http2.FrameWindowUpdate, 0, id), uint32(increment))
}

func appendReset(b []byte, id uint32, code http2.ErrCode) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, http2.FrameRSTStream, 0, id), uint32(code))
}

func appendPing(b []byte, flags http2.Flags, data [8]byte) []byte {
	return append(appendFrame(b, len(data), http2.FramePing, flags, 0), data[:]...)
}

func appendGoAway(b []byte, lastID uint32, code http2.ErrCode, why string) []byte {
	b = appendFrame(b, 8+len(why), http2.FrameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, lastID)
	b = binary.BigEndian.AppendUint32(b, uint32(code))
	return append(b, why...)
}
