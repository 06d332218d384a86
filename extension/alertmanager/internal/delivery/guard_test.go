package delivery

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// allNames is what every name resolves to; nil for what it resolves to by itself.
var allNames atomic.Pointer[netip.Addr]

// The resolver is there before any test, as something of an earlier one may still read it.
func init() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, server string) (net.Conn, error) {
		address := allNames.Load()
		if address == nil {
			return new(net.Dialer).DialContext(ctx, network, server)
		}
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			for answerName(theirs, address.As4()) == nil {
			}
		}()
		return ours, nil
	}}
}

// answerNames makes every name resolve to an address until the test ends.
func answerNames(t *testing.T, address netip.Addr) {
	t.Helper()
	t.Cleanup(func() { allNames.Store(nil) })
	allNames.Store(&address)
}

// answerName answers one query of the DNS over a stream: with the address if an IPv4 one is asked for, else with nothing.
func answerName(conn io.ReadWriter, address [4]byte) error {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return err
	}
	question := query[12 : 12+bytes.IndexByte(query[12:], 0)+5]
	answer := append(append([]byte{}, query[:2]...), 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
	answer = append(answer, question...)
	if kind := binary.BigEndian.Uint16(question[len(question)-4:]); kind == 1 {
		answer[7] = 1
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
		answer = append(answer, address[:]...)
	}
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	return err
}

func TestNoWayLeadsToAnAddressThatIsNoTarget(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "") // it is refused
	const metadata = "http://169.254.169.254/latest"
	redirects := startTarget(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, metadata, http.StatusTemporaryRedirect)
	})
	for name, receiver := range map[string]string{
		"address":        `webhook_configs: [{url: "` + metadata + `"}]`,
		"redirect":       `webhook_configs: [{url: "` + redirects.URL + `"}]`,
		"name":           `webhook_configs: [{url: "http://hook.example/"}]`,
		"token's issuer": `webhook_configs: [{url: "` + redirects.URL + `", http_config: {oauth2: {client_id: a, client_secret: b, token_url: "` + metadata + `"}}}]`,
		"mail":           `email_configs: [{to: b@example.com, smarthost: "169.254.1.1:25"}]`,
		"topic":          `sns_configs: [{api_url: "` + metadata + `", topic_arn: t, sigv4: {region: r, access_key: k, secret_key: s}}]`,
		"mail's name":    `email_configs: [{to: b@example.com, smarthost: "mail.example:465"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			answerNames(t, netip.MustParseAddr("169.254.169.254"))
			failed := make(chan Notification, 10)
			d := start(t, Config{Notified: func(n Notification) { failed <- n }}, `
global: {smtp_from: a@example.com, smtp_require_tls: false}
route: {receiver: all, `+quick+`}
receivers: [{name: all, `+receiver+`}]
`)
			require.NoError(t, d.Send(t.Context(), firing("A")))
			select {
			case n := <-failed:
				require.ErrorContains(t, n.Err, "link-local")
			case <-time.After(wait):
				require.FailNow(t, "nothing was tried")
			}
		})
	}
}
