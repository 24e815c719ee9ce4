// libvirt keeps these from its public headers. Source: src/libvirt_internal.h (virDrvFeature) and
// src/remote/remote_protocol.x (remote_auth_type) of libvirt 9.0 and 11.3, where they are the same.

/** Features of a driver that `connect_supports_feature` asks for. */
export const Feature = { PROGRAM_KEEPALIVE: 10, REMOTE_EVENT_CALLBACK: 14 } as const;

/** Ways to authenticate. */
export const AuthType = { NONE: 0, SASL: 1, POLKIT: 2 } as const;
