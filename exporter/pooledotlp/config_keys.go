package pooledotlp

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/confmap"
)

// ownKeys are the top-level keys that all protocols share, and clientKeys those of each protocol's client beside them.
// configgrpc and confighttp give some keys different meanings, so one struct cannot hold both.
var (
	ownKeys    = keysOf(reflect.TypeFor[Config](), "grpc", "http")
	clientKeys = map[Protocol][]string{
		// timeout and compression are read by the exporter, for every protocol alike.
		ProtocolGRPC:         keysOf(reflect.TypeFor[configgrpc.ClientConfig](), "compression"),
		ProtocolHTTPProtobuf: keysOf(reflect.TypeFor[HTTPClientConfig](), "compression", "compression_params", "timeout"),
		ProtocolHTTPJSON:     keysOf(reflect.TypeFor[HTTPClientConfig](), "compression", "compression_params", "timeout"),
	}
)

// Unmarshal reads the keys of the protocol that the configuration names.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	protocol := c.Protocol
	if conf.IsSet("protocol") {
		protocol = Protocol(fmt.Sprint(conf.Get("protocol")))
	}
	allowed, known := clientKeys[protocol]
	if !known {
		return unknownProtocol(protocol)
	}
	var errs []error
	var own, client []string
	for key := range conf.ToStringMap() {
		switch {
		case slices.Contains(ownKeys, key):
			own = append(own, key)
		case slices.Contains(allowed, key):
			client = append(client, key)
		default:
			errs = append(errs, misplacedKey(key, protocol))
		}
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return errors.Join(errs...)
	}

	common, err := without(conf, client)
	if err != nil {
		return err
	}
	rest, err := without(conf, own)
	if err != nil {
		return err
	}
	// A type without this method, or decoding would come back here.
	type plain Config
	if err := errors.Join(common.Unmarshal((*plain)(c)), rest.Unmarshal(c.client(protocol))); err != nil {
		return err
	}
	// What is on disk is there to outlive an outage, so it is not given up after a time unless that was asked for.
	if c.persistent() && !conf.IsSet("retry_on_failure::max_elapsed_time") {
		c.RetryConfig.MaxElapsedTime = 0
	}
	return nil
}

// Marshal writes the client's keys where Unmarshal reads them: at the top level. Its receiver is a value because confmap
// looks for the method on values only.
func (c Config) Marshal(conf *confmap.Conf) error {
	type plain Config
	if err := conf.Marshal(plain(c)); err != nil {
		return err
	}
	conf.Delete("grpc")
	conf.Delete("http")
	client := confmap.New()
	if err := client.Marshal(c.client(c.Protocol)); err != nil {
		return err
	}
	for key := range client.ToStringMap() {
		if !slices.Contains(clientKeys[c.Protocol], key) {
			client.Delete(key)
		}
	}
	return conf.Merge(client)
}

// client returns the client's part of the configuration.
func (c *Config) client(p Protocol) any {
	if p == ProtocolGRPC {
		return &c.GRPC
	}
	return &c.HTTP
}

func misplacedKey(key string, protocol Protocol) error {
	for _, other := range []Protocol{ProtocolGRPC, ProtocolHTTPProtobuf} {
		if slices.Contains(clientKeys[other], key) {
			return fmt.Errorf("`%s` is a key of `protocol: %s`, and the protocol is %s: remove the key or change the protocol",
				key, other, protocol)
		}
	}
	has := slices.Sorted(slices.Values(slices.Concat(ownKeys, clientKeys[protocol])))
	return fmt.Errorf("`%s` is not a key of this exporter with `protocol: %s`, which has: %s", key, protocol, strings.Join(has, ", "))
}

// without copies a configuration and leaves some keys out. It keeps what confmap remembers about expanded variables, which
// a plain map would lose.
func without(conf *confmap.Conf, keys []string) (*confmap.Conf, error) {
	out := confmap.New()
	if err := out.Merge(conf); err != nil {
		return nil, err
	}
	for _, key := range keys {
		out.Delete(key)
	}
	return out, nil
}

// keysOf lists the top-level keys that confmap decodes into a struct.
func keysOf(t reflect.Type, except ...string) []string {
	var keys []string
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case !field.IsExported() || name == "-":
		case strings.Contains(options, "squash"):
			keys = append(keys, keysOf(field.Type, except...)...)
		case !slices.Contains(except, name):
			keys = append(keys, name)
		}
	}
	return keys
}
