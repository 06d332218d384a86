package unarygrpc

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Headers are written without HPACK's dynamic table: then what answers a call is the same bytes every time.
const (
	status200       = "\x88"     // :status 200 in the static table
	contentTypeName = "\x0f\x10" // a literal that is not indexed, with the name at 31 of the static table
	grpcContentType = "application/grpc"
	maxMessageText  = 4 << 10 // of grpc-message; with the percent signs, it stays within a frame
	maxDetails      = 4 << 10 // of grpc-status-details-bin; larger ones are left out
)

var (
	answerHeaders  = status200 + contentTypeName + string(rune(len(grpcContentType))) + grpcContentType
	answerTrailers = string(appendField(nil, "grpc-status", "0"))
)

func appendFrame(b []byte, length int, t http2.FrameType, flags http2.Flags, id uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), byte(t), byte(flags))
	return binary.BigEndian.AppendUint32(b, id)
}

func appendAnswer(b []byte, id uint32, message []byte) []byte {
	b = appendFrame(b, len(answerHeaders), http2.FrameHeaders, http2.FlagHeadersEndHeaders, id)
	b = append(b, answerHeaders...)
	b = appendFrame(b, prefixSize+len(message), http2.FrameData, 0, id)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	b = append(b, message...)
	b = appendFrame(b, len(answerTrailers), http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id)
	return append(b, answerTrailers...)
}

// appendRefusal answers a call with a status and without a message.
func appendRefusal(b []byte, id uint32, httpStatus int, s *status.Status) []byte {
	headers := appendField(nil, ":status", strconv.Itoa(httpStatus))
	headers = appendField(headers, "content-type", grpcContentType)
	headers = appendField(headers, "grpc-status", strconv.Itoa(int(s.Code())))
	if s.Message() != "" {
		headers = appendField(headers, "grpc-message", percentEncode(s.Message()))
	}
	if p := s.Proto(); len(p.GetDetails()) > 0 {
		if details, err := proto.Marshal(p); err == nil && len(details) <= maxDetails {
			headers = appendField(headers, "grpc-status-details-bin", base64.RawStdEncoding.EncodeToString(details))
		}
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

// percentEncode encodes what may not stand in a header, as gRPC has it.
func percentEncode(text string) string {
	if len(text) > maxMessageText {
		text = text[:maxMessageText]
	}
	const hex = "0123456789ABCDEF"
	var b []byte
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
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
