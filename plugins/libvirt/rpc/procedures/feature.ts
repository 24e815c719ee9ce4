/** Features of a driver that `connect_supports_feature` asks for. */
export const Feature = { PROGRAM_KEEPALIVE: 10, REMOTE_EVENT_CALLBACK: 14 } as const;

/** Ways to authenticate. */
export const AuthType = { NONE: 0, SASL: 1, POLKIT: 2 } as const;
