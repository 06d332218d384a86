package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"

	"github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/notify/email"
	"github.com/prometheus/alertmanager/template"
	commoncfg "github.com/prometheus/common/config"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/guard"
)

// mailer sends e-mail with Alertmanager's notifier. That one dials by itself and, once connected, waits for the server without end, whatever
// its context says: it would hold up its group, and the end of the process, for as long as the server keeps the connection. So it
// is given a relay on loopback, whose other side is dialled here, and which breaks off when the context is done.
type mailer struct {
	conf      *amconfig.EmailConfig
	templates *template.Template
	logger    *slog.Logger
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
}

// Notify implements notify.Notifier.
func (m *mailer) Notify(ctx context.Context, alerts ...*alert.Alert) (bool, error) {
	target := m.conf.Smarthost.String()
	server, err := m.dial(ctx, "tcp", target)
	if err != nil {
		return !errors.Is(err, guard.ErrForbidden), fmt.Errorf("connect to the mail server %s: %w", target, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return true, errors.Join(fmt.Errorf("open the relay to the mail server: %w", err), server.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var relaying sync.WaitGroup
	relaying.Go(func() { relay(ctx, listener, server) })
	conf := m.through(listener.Addr().(*net.TCPAddr))
	retry, err := email.New(conf, m.templates, m.logger).Notify(ctx, alerts...)
	cancel()
	relaying.Wait()
	if local := conf.Smarthost.String(); err != nil && strings.Contains(err.Error(), local) {
		err = errors.New(strings.ReplaceAll(err.Error(), local, target)) // nobody knows the relay
	}
	return retry, err
}

// through returns the configuration for the relay. All that depends on the server's name and port stays as it is for the server itself.
func (m *mailer) through(relay *net.TCPAddr) *amconfig.EmailConfig {
	conf, host := *m.conf, m.conf.Smarthost.Host
	conf.Headers = maps.Clone(conf.Headers) // the notifier adds to it
	if conf.Headers == nil {
		conf.Headers = map[string]string{}
	}
	tls := commoncfg.TLSConfig{}
	if conf.TLSConfig != nil {
		tls = *conf.TLSConfig
	}
	if tls.ServerName == "" {
		tls.ServerName = host
	}
	conf.TLSConfig = &tls
	if conf.ForceImplicitTLS == nil {
		conf.ForceImplicitTLS = new(conf.Smarthost.Port == "465")
	}
	// net/smtp sends no password in the clear but to these names, and must not take another server for one of them: it does not know this
	// form of the same address.
	loopback := "::ffff:127.0.0.1"
	if host == "localhost" || host == "127.0.0.1" || host == "::1" {
		loopback = "127.0.0.1"
	}
	conf.Smarthost = amconfig.HostPort{Host: loopback, Port: fmt.Sprint(relay.Port)}
	return &conf
}

// relay passes the first connection to the listener on to the server and closes all three at the end: when both sides have said all, or
// when the context is done.
func relay(ctx context.Context, listener net.Listener, server net.Conn) {
	defer context.AfterFunc(ctx, func() {
		_ = listener.Close() // nobody has to be told: it is broken off
		_ = server.Close()
	})()
	client, err := listener.Accept()
	_ = listener.Close()
	if err != nil {
		_ = server.Close()
		return
	}
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	var up sync.WaitGroup
	up.Go(func() { forward(server, client) })
	forward(client, server)
	up.Wait()
	_ = client.Close()
	_ = server.Close()
}

// forward copies until there is no more and says so.
func forward(to, from net.Conn) {
	_, _ = io.Copy(to, from) // what breaks off here breaks off there
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
